"""Random rule sets of nftables, over everything that the proof models: the same seed gives the same text."""

from __future__ import annotations

from random import Random

LINKS = ("lan1", "lan2", "wan0")
PRIORITIES = (-450, -301, -300, -150, -1, 0, 1, 10, 300)
HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
PORTS = (22, 53, 80, 443, 1023, 1024, 8080, 65535)
STATES = ("new", "established", "related", "invalid", "untracked")
FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr")
ICMP = ("echo-request", "echo-reply", "destination-unreachable", "timestamp-request", "3", "5", "13")
ICMPV6 = ("echo-request", "echo-reply", "packet-too-big", "nd-neighbor-solicit", "1", "139")
PROTOCOLS = ("tcp", "udp", "icmp", "ipv6-icmp", "sctp", "47", "99", "udplite")


class Writer:
    """Writes one rule set."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311  a test that can be repeated, no secret
        self.tracking = self.random.random() < 0.6
        self.family = "inet"
        self.sets: list[str] = []
        self.hook = ""
        self.network = "ip"
        """nft refuses a rule that no packet can match: one has one network protocol and one transport protocol."""
        self.transport = "any"

    def text(self) -> str:
        return "".join(self.table(f"t{number}") for number in range(self.random.randint(1, 3)))

    def table(self, name: str) -> str:
        self.family = self.random.choice(("inet", "inet", "inet", "ip", "ip6"))
        self.sets = []
        plain = [f"c{number}" for number in range(self.random.randint(0, 3))]
        self.hook = ""
        blocks = []
        # What is jumped to stands before what jumps: chains of a higher number are called by those of a lower one.
        for number, chain in reversed(list(enumerate(plain))):
            blocks.append(self.chain(chain, "", plain[number + 1 :]))
        for number in range(self.random.randint(1, 4)):
            self.hook = self.random.choice(HOOKS)
            policy = self.random.choice(("accept", "accept", "drop"))
            head = f"type filter hook {self.hook} priority {self.random.choice(PRIORITIES)}; policy {policy};"
            blocks.append(self.chain(f"b{number}", head, plain))
        return f"table {self.family} {name} {{\n{''.join(self.sets)}{''.join(blocks)}}}\n"

    def chain(self, name: str, head: str, targets: list[str]) -> str:
        rules = [self.rule(targets) for _ in range(self.random.randint(1, 7))]
        lines = ([head] if head else []) + rules
        return f"\tchain {name} {{\n" + "".join(f"\t\t{line}\n" for line in lines) + "\t}\n"

    def rule(self, targets: list[str]) -> str:
        self.network = self.random.choice({"inet": ("ip", "ip6"), "ip": ("ip",), "ip6": ("ip6",)}[self.family])
        self.transport = self.random.choice(
            ("tcp", "tcp", "tcp", "udp", "udp", "icmp", "any", "any", "sctp", "udplite")
        )
        count = self.random.choice((0, 1, 1, 2, 2, 3))
        words = [self.match() for _ in range(count)]
        words += self.random.choice(([], [], ["counter"], ["log group 9"], ['counter comment "x y"'])) if words else []
        ending = self.verdict_map(targets) if self.random.random() < 0.15 else self.verdict(targets)
        comment = [word for word in words if word.startswith("counter comment")]
        words = [word.removesuffix(' comment "x y"') for word in words]
        rule = " ".join([*words, ending]).strip() or "counter"
        return f'{rule} comment "x y"' if comment else rule

    def verdict(self, targets: list[str]) -> str:
        choices = ["accept", "accept", "accept", "drop", "drop", "return", "continue", "counter"]
        if self.hook in {"input", "forward", "output"}:
            choices.append("reject")
        if targets:
            choices += [f"{word} {target}" for word in ("jump", "jump", "goto") for target in targets]
        return self.random.choice(choices)

    def verdict_map(self, targets: list[str]) -> str:
        choices = ["accept", "drop", "return", "continue"] + [
            f"{word} {one}" for word in ("jump", "goto") for one in targets
        ]
        kinds = [("iifname", self.some(LINKS, 2)), (f"{self.network} saddr", self.addresses(3))]
        if self.transport == "any":
            kinds.append(("meta l4proto", self.some(PROTOCOLS, 3)))
            pairs = [f"{link} . {word}" for link in LINKS for word in self.some(PROTOCOLS, 1)]
            kinds.append(("iifname . meta l4proto", pairs))
        elif self.transport != "icmp":
            kinds.append((f"{self.transport} {self.random.choice(('sport', 'dport'))}", self.ports(3)))
        if self.tracking:
            kinds.append(("ct state", self.some(STATES, 3)))
        operand, values = self.random.choice(kinds)
        entries = ", ".join(f"{value} : {self.random.choice(choices)}" for value in values)
        return f"{operand} vmap {{ {entries} }}"

    # --- conditions -------------------------------------------------------------------------------------------------

    def match(self) -> str:
        makers = [self.link, self.link]
        makers += {
            "tcp": [self.port, self.port, self.flags, self.named_set, self.concatenation],
            "icmp": [self.icmp if self.network == "ip" else self.icmpv6],
            "any": [self.protocol, self.th, self.concatenation, self.family_of],
        }.get(self.transport, [self.port, self.port, self.named_set])
        makers += [self.address, self.address, self.address, self.named_set]
        if self.network == "ip":
            makers += [self.fragment, self.options]
        if self.tracking:
            makers += [self.state, self.state]
        if self.hook in {"prerouting", "forward", "input"}:
            makers.append(self.fib)
        return self.random.choice(makers)()

    def negation(self) -> str:
        return self.random.choice(("", "", "", "!= "))

    def link(self) -> str:
        value = self.random.choice(
            [f'"{link}"' for link in LINKS] + ['"lan*"', '"nowhere"', '{ "lan1", "wan0" }', '{ "lan2", "lan1" }']
        )
        return f"{self.random.choice(('iifname', 'oifname'))} {self.negation()}{value}"

    def protocol(self) -> str:
        operand = ["meta l4proto"] * 2 + (["ip protocol"] if self.network == "ip" else [])
        values = self.some(PROTOCOLS, 2)
        value = values[0] if self.random.random() < 0.5 else f"{{ {', '.join(values)} }}"
        return f"{self.random.choice(operand)} {self.negation()}{value}"

    def port(self) -> str:
        operand = f"{self.transport} {self.random.choice(('sport', 'dport'))}"
        if self.random.random() < 0.15:
            return f"{operand} {self.random.choice(('<', '>', '<=', '>='))} {self.random.choice(PORTS[1:-1])}"
        return f"{operand} {self.negation()}{self.of_set(self.ports(3))}"

    def th(self) -> str:
        return f"meta l4proto {{ tcp, udp }} th dport {self.negation()}{self.of_set(self.ports(2))}"

    def family_of(self) -> str:
        if self.family != "inet":
            return self.protocol()
        return f"meta nfproto {'ipv4' if self.network == 'ip' else 'ipv6'}"

    def address(self) -> str:
        side = self.random.choice(("saddr", "daddr"))
        return f"{self.network} {side} {self.negation()}{self.of_set(self.addresses(3))}"

    def icmp(self) -> str:
        if self.random.random() < 0.3:
            return f"icmp code {self.negation()}{self.random.choice(('0', '3-5', '{ 1, 4 }'))}"
        return f"icmp type {self.negation()}{self.of_set(self.some(ICMP[:4], 2))}"

    def icmpv6(self) -> str:
        return f"icmpv6 type {self.negation()}{self.of_set(self.some(ICMPV6[:4], 2))}"

    def flags(self) -> str:
        one, two = self.some(FLAGS, 2)
        return self.random.choice(
            (
                f"tcp flags {one}",
                f"tcp flags {one},{two}",
                f"tcp flags == {one}",
                f"tcp flags != {one}",
                f"tcp flags & ({one} | {two}) == {one}",
                f"tcp flags & ({one} | {two}) != 0",
                "tcp flags & (fin | syn | rst | ack) == syn",
                f"tcp flags {{ syn, ack, syn | ack, {one} | fin | urg }}",
            )
        )

    def state(self) -> str:
        one, two = self.some(STATES, 2)
        return self.random.choice(
            (f"ct state {one}", f"ct state {one},{two}", f"ct state != {one}", f"ct state {{ {one}, {two} }}")
        )

    def fragment(self) -> str:
        return (
            f"ip frag-off & {self.random.choice(('0x1fff', '0x3fff', '0x2000'))} {self.random.choice(('==', '!='))} 0"
        )

    def options(self) -> str:
        return f"ip hdrlength {self.random.choice(('5', '!= 5', '> 5', '6-8', '{ 5, 7 }'))}"

    def fib(self) -> str:
        return self.random.choice(
            (
                "fib saddr . iif oif missing",
                "fib saddr . iif oif exists",
                "fib daddr type local",
                "fib daddr type != local",
            )
        )

    def concatenation(self) -> str:
        last = "address . port" if self.transport == "tcp" else "meta l4proto . th dport"
        pair = self.random.choice(("iifname . oifname", "addresses", last))
        if pair == "iifname . oifname":
            links = [f'"{one}" . "{two}"' for one in LINKS for two in LINKS]
            return f"{pair} {self.negation()}{{ {', '.join(self.some(links, 3))} }}"
        if pair == "meta l4proto . th dport":
            values = [f"{one} . {port}" for one in ("tcp", "udp") for port in self.ports(2)]
            return f"{pair} {self.negation()}{{ {', '.join(values)} }}"
        word, networks = self.network, self.addresses(3)
        if pair == "addresses":
            values = [f"{one} . {two}" for one in networks[:2] for two in networks[1:]]
            return f"{word} saddr . {word} daddr {self.negation()}{{ {', '.join(values)} }}"
        values = [f"{one} . {port}" for one in networks for port in self.ports(1)]
        return f"{word} saddr . tcp dport {self.negation()}{{ {', '.join(values)} }}"

    def named_set(self) -> str:
        name = f"s{len(self.sets)}"
        length = "4" if self.network == "ip" else "6"
        side = self.random.choice(("saddr", "daddr"))
        kinds = [(f"ipv{length}_addr", f"{self.network} {side}", self.addresses(4))]
        if self.transport in {"tcp", "udp", "sctp", "udplite"}:
            kinds.append(("inet_service", f"{self.transport} {self.random.choice(('sport', 'dport'))}", self.ports(4)))
        kind, operand, values = self.random.choice(kinds)
        self.sets.append(
            f"\tset {name} {{\n\t\ttype {kind}\n\t\tflags interval\n\t\telements = {{ {', '.join(values)} }}\n\t}}\n"
        )
        return f"{operand} {self.negation()}@{name}"

    # --- values -----------------------------------------------------------------------------------------------------

    def some(self, values: tuple[str, ...] | list[str], count: int) -> list[str]:
        return self.random.sample(list(values), min(count, len(values)))

    def of_set(self, values: list[str]) -> str:
        return values[0] if self.random.random() < 0.4 else f"{{ {', '.join(values)} }}"

    def ports(self, count: int) -> list[str]:
        """Return ports and ranges of ports that do not overlap."""
        cuts = sorted(self.random.sample(range(65536), count * 2))
        cuts = sorted({*self.random.sample(PORTS, min(count, 4)), *cuts})[: count * 2]
        pairs = zip(cuts[::2], cuts[1::2], strict=False)
        return [str(low) if self.random.random() < 0.5 else f"{low}-{high}" for low, high in pairs]

    def addresses(self, count: int) -> list[str]:
        return self.networks(count) if self.network == "ip" else self.networks6(count)

    def networks(self, count: int) -> list[str]:
        found = []
        for third in self.random.sample(range(1, 5), count):
            net, last = self.random.randint(1, 3), self.random.randint(0, 255)
            length = self.random.choice((24, 28, 30, 32))
            start = last & ~((1 << (32 - length)) - 1) & 255
            form = self.random.choice((f"10.{net}.{third}.{start}/{length}", f"10.{net}.{third}.{last}"))
            if last < 200 and self.random.random() < 0.3:
                form = f"10.{net}.{third}.{last}-10.{net}.{third}.{last + self.random.randint(1, 50)}"
            found.append(form)
        if self.random.random() < 0.2:
            found[0] = f"10.{self.random.randint(1, 3)}.0.1"
        return found

    def networks6(self, count: int) -> list[str]:
        found = []
        for part in self.random.sample(range(1, 5), count):
            net = self.random.randint(1, 3)
            found.append(
                self.random.choice(
                    (f"2001:db8:{net}:{part}::/64", f"2001:db8:{net}:{part}::5", f"2001:db8:{net}:{part}::8/125")
                )
            )
        if self.random.random() < 0.2:
            found[0] = f"2001:db8:{self.random.randint(1, 3)}::1"
        return found
