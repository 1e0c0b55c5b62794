"""Commands of the exhaustive judge on what the devices run: prove, explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cloison.cli.app import app
from cloison.cli.declared import FormatOption, JsonOption, OutOption, workspace_of
from cloison.cli.lab import DEFAULT_LAB, NameOption
from cloison.cli.running import KeyOption, NetworkOption, ViaOption, open_network, via_of
from cloison.cli.subject import RunningOption, subject_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.change.order import Via
    from cloison.prove.answer import Answer
    from cloison.session import Session
    from cloison.testing.witnesses import Tried
    from cloison.workspace import Network

TryWitnessesOption = Annotated[
    bool,
    typer.Option(
        "--try-witnesses",
        help="In the twin, send the packet that shows each finding: that of a leak must arrive, that of an outage must "
        "not. Where it does otherwise, that is a finding too.",
    ),
]


@app.command()
def prove(  # noqa: PLR0913  one argument an option
    context: typer.Context,
    *,
    network: NetworkOption = None,
    via: ViaOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
    form: FormatOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
    send: TryWitnessesOption = False,
) -> None:
    """Read every device and compute every packet that can pass; show what leaks, what is cut, what is not known."""
    from cloison.cli.findings.entries import proof_document
    from cloison.cli.findings.origins import Origins
    from cloison.cli.findings.show import format_of, show
    from cloison.cli.output import require_writable
    from cloison.cli.revision import folder_in_repository

    chosen = format_of(form, as_json=as_json)
    require_writable(out)
    if send:
        _require_twin(context, network)
    session = open_network(context, network, name, key)
    answer, tried = _proved(session, via_of(session, via, None), send=send)
    document = proof_document(
        answer,
        session.intent,
        subject=f"what the devices of the {session.network} network run",
        origins=Origins(session.workspace),
        tried=tried,
    )
    show(document, chosen, out=out, folder=folder_in_repository(session.workspace))
    raise typer.Exit(document.exit_code)


def _proved(session: Session, via: Via, *, send: bool) -> tuple[Answer, Mapping[str, Tried]]:
    """Read every device and prove; return the answer, and what became of the witnesses if they are to be sent."""
    from cloison.cli.configurations import running
    from cloison.cli.output import progress
    from cloison.prove.judge import judge

    with progress("prove") as narrate:
        narrate(f"reading {len(session.intent.devices)} devices")
        configurations = running(session, via)
        narrate("computing every packet")
        answer = judge(session.intent, configurations)
        if not send:
            return answer, {}
        narrate("sending what shows each finding")
        return _with_witnesses(session, answer)


def _require_twin(context: typer.Context, network: Network | None) -> None:
    from cloison.errors import InputError
    from cloison.workspace import Network

    if (network or workspace_of(context).network) is Network.LIVE:
        msg = "--try-witnesses sends packets that must not pass: expected --network lab, never the live network"
        raise InputError(msg)


def _with_witnesses(session: Session, answer: Answer) -> tuple[Answer, Mapping[str, Tried]]:
    """Send the witness of every finding; return the answer with what disagrees, and what became of each witness."""
    from dataclasses import replace

    from cloison.testing.witnesses import claims_of, disagreements, try_witnesses

    assert session.lab is not None  # noqa: S101  the twin was required before anything was read
    tried = try_witnesses(session.intent, session.lab, claims_of(answer.findings))
    return replace(answer, findings=(*answer.findings, *disagreements(answer.findings, tried))), tried


@app.command()
def explain(  # noqa: PLR0913  one argument an option
    context: typer.Context,
    sender: Annotated[str, typer.Argument(help="From: <site>/<equipment>, a unique tail of it, or another place.")],
    receiver: Annotated[str, typer.Argument(help="To: the same.")],
    service: Annotated[str, typer.Argument(help="A service of network.yaml, or tcp/PORT, udp/PORT, icmp.")],
    *,
    tunnels_down: Annotated[bool, typer.Option("--tunnels-down", help="With every tunnel down.")] = False,
    read_back: RunningOption = False,
    network: NetworkOption = None,
    via: ViaOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow one packet hop by hop, and its answer: which rule, port or route decides, in words."""
    from cloison.cli.explanation import document, show_explanation
    from cloison.cli.output import print_json
    from cloison.prove.answer import TunnelsAre
    from cloison.prove.explain import explain as explain_packet

    subject = subject_of(context, network, name, key, via=via, read_back=read_back)
    state = TunnelsAre.DOWN if tunnels_down else TunnelsAre.UP
    explained = explain_packet(subject.intent, subject.configurations, (sender, receiver), service, state)
    if as_json:
        print_json(document(explained))
    else:
        show_explanation(explained)
    if not explained.determined:
        raise typer.Exit(3)
    raise typer.Exit(0 if explained.conforms else 1)
