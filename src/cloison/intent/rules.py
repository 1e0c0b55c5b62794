"""The catalogue of what can be wrong with an inventory: one paragraph a code, shown by `cloison rule CODE`."""

from __future__ import annotations

from cloison.errors import InputError
from cloison.intent.hint import did_you_mean

RULES: dict[str, str] = {
    # --- the files and their text ---
    "CL001": "A file of no known kind lies in the inventory. Every file there has a model, so that nothing is read by"
    " halves or forgotten: network.yaml, policy.yaml, invariants.yaml, groups.yaml, defaults.yaml, blueprints/*.yaml"
    " and sites/*.yaml. Hosts are derived: there is no hosts.yaml.",
    "CL002": "A file that every inventory has is missing, or a folder holds no file.",
    "CL003": "A file cannot be read: it is a symbolic link, not a regular file, or not readable. A link is refused"
    " because it could bring in a file from outside the workspace that no review has seen.",
    "CL004": "The name of a file in blueprints/ or sites/ is not a name followed by .yaml. The file is named as the"
    " blueprint or the site it declares.",
    "CL005": "The file is larger than one megabyte. No inventory file is; the limit keeps a hostile file from"
    " exhausting the machine that checks it.",
    "CL006": "The file is not UTF-8, or starts with a byte order mark. Save it as UTF-8 without a mark.",
    "CL007": "The file holds a character that cannot be seen: a control, a bidirectional mark, a zero-width character."
    " Such a character makes a line read differently from what it says.",
    "CL008": "The file holds a tab. YAML forbids tabs for indentation, and elsewhere they cannot be told from spaces.",
    "CL009": "The text is not YAML. The place is where the parser gave up; the mistake often stands a line above it.",
    "CL010": "Values are nested more than 20 deep. No inventory file needs that.",
    "CL011": "The file uses an anchor, an alias or a merge key. An inventory needs none of them, and they allow a few"
    " lines to stand for gigabytes. Write the value out where it is used.",
    "CL012": "The file uses a tag (a word that starts with `!`) or a directive (a line that starts with `%`)."
    " Types follow from the models and not from the text.",
    "CL013": "A key is given twice in one mapping. YAML readers keep the first or the last as they please.",
    "CL014": "A key is not a string: a number, a truth value, a list or a mapping. Quote it if a name is meant.",
    "CL015": "The file holds a second document after `---`. One file declares one thing.",
    "CL016": "The file is empty, or holds comments alone.",
    "CL017": "A key or a list item has no value (nothing, `~` or `null`). What is not known is left out with its key.",
    "CL018": "The number is infinite, not a number, or too large to be meant.",
    "CL019": "The value is read in one way by YAML 1.1 and in another by YAML 1.2: `no` and `on` as truth values,"
    " `22:22` in base sixty, `010` in base eight, `1_000`, `1e3`, `0x1f`, a date. Quote it if a text is meant (a date"
    ' is written `"2027-01-31"`); else write the number in plain decimal digits.',
    # --- the structure of one file ---
    "CL101": "A key that the model requires is missing.",
    "CL102": "The key is not known. Unknown keys are refused, because a misspelt one would otherwise be a setting that"
    " silently does not apply.",
    "CL103": "The value is of another kind than expected: a text for a number, a list for a mapping. A number in quotes"
    " is a text.",
    "CL104": "The word is not one of those that may stand here.",
    "CL105": "The number lies outside its bounds. VLAN identifiers are 1 to 4094 (IEEE 802.1Q), ports 1 to 65535.",
    "CL106": "A list or a text is too short or too long.",
    "CL107": "The text is not made of the characters that it may have. Names reach templates, so each is a value type"
    " with a charset in which no line of configuration can be written.",
    "CL108": "The text is not an IPv4 address or prefix, or a prefix has bits set behind its length.",
    "CL109": "The text is not a date of the form YYYY-MM-DD.",
    # --- names and references ---
    "CL201": "A site or a blueprint has another name than its file. The two are one, so that a thing is found by name.",
    "CL202": "The site names a blueprint that does not exist.",
    "CL203": "The parking VLAN is not in the VLAN plan.",
    "CL204": "A segment names a VLAN that is not in the VLAN plan of network.yaml.",
    "CL205": "An equipment names a segment that its blueprint does not declare.",
    "CL206": "A flow names a service that network.yaml does not declare.",
    "CL207": "network.yaml names a time server, log collector or administration station that does not exist or is of"
    " another kind.",
    "CL208": "A site file describes an equipment that its blueprint does not have.",
    "CL209": "A device has a platform for which groups.yaml gives no connection options.",
    "CL210": "Two flows, two invariants or two segments of a blueprint have the same name.",
    "CL211": "An equipment lacks the platform that its kind needs, or has one that its kind cannot have. Firewalls and"
    " switches are configured; nothing else is.",
    "CL212": "An equipment is in no segment and needs an address, or is in one and can have no address (an unmanaged"
    " switch). A firewall's segment is where it is managed.",
    # --- numbers and addresses ---
    "CL301": "Two names of the VLAN plan have the same number, so that their segments would be one.",
    "CL302": "A segment is on the parking VLAN. That VLAN is native on every trunk and on every unused port; a segment"
    " on it would be both native and access, the condition of VLAN hopping.",
    "CL303": "Two segments of a blueprint are on the same VLAN, and so are not apart.",
    "CL304": "Two sites have the same index, and so the same prefix.",
    "CL305": "The site has an index that network.yaml reserves.",
    "CL306": "The site's index lies outside the address plan.",
    "CL307": "The segments of a blueprint do not fit in the prefix of a site.",
    "CL308": "A segment is too small for its equipment. Three addresses are taken: network, gateway and broadcast.",
    "CL309": "The public prefix of a site overlaps that of another site, the address plan, or the local management"
    " ports.",
    "CL310": "The address plan contradicts itself: a site's prefix larger than the plan, or local management"
    " inside it.",
    "CL311": "The public address or its gateway is not a host address of the public prefix, or both are one.",
    "CL312": "Two equipment have the same MAC address: a switch port bound to one would let the other in.",
    "CL313": "Two equipment have the same serial number.",
    "CL314": "Two devices have the same host key: whoever holds one could pose as the other.",
    "CL315": "Two services have the same protocol and port. One conversation would have two names, and a report could"
    " not say which was authorised.",
    "CL316": "The prefix for local management ports is too small for the devices of one site.",
    # --- cables ---
    "CL401": "The end of a cable is not of the form `<equipment>:<port>`.",
    "CL402": "A cable ends at an equipment or a port that the blueprint does not declare.",
    "CL403": "Two cables end in the same port.",
    "CL404": "No cable is in this equipment.",
    "CL405": "A site has exactly one firewall: it is the gateway of every segment and the end of every tunnel.",
    "CL406": "A host is cabled to the firewall or to another host. The firewall's inner port is a trunk that carries"
    " every VLAN, and a host must see its own alone: a switch stands between them.",
    "CL407": "The cables form a loop. A site is a tree: there is one way to every port, and what a port carries follows"
    " from it.",
    "CL408": "No chain of cables joins this equipment to the firewall.",
    "CL409": "A fibre cable is in a copper port or the other way round. Ports that take an optical module are named"
    " `sfp` and a number.",
    "CL410": "A blueprint has a second fibre cable. A site file describes one.",
    "CL411": "A firewall's ports are `trunk` (inside, to the core switch) and `wan0` (outside, cabled to nothing of the"
    " site).",
    "CL412": "An equipment has a port twice.",
    "CL413": "A port has the name of an interface that every device has for itself: br0, local0, management, ipsec0,"
    " vlan and a number.",
    "CL414": "An unmanaged switch joins hosts of two segments, or two managed devices. It forwards every frame"
    " everywhere, so that what it joins is one segment whatever the switches beside it do.",
    # --- policy and invariants ---
    "CL501": "A flow or an invariant selects equipment that no blueprint has. It would authorise, or forbid, nothing.",
    "CL502": "A flow between sites has a purpose that no tunnel carries between the two roles.",
    "CL503": "policy.yaml authorises what invariants.yaml forbids. Both places are named. An invariant holds whatever"
    " the policy says: change the flow, or change the invariant in a change of its own that is reviewed as such.",
    "CL504": "Two flows authorise the same conversation. One conversation has one purpose and one legal basis.",
    "CL505": "Two tunnels between the same two roles have one name or carry the same purpose, or a tunnel joins a role"
    " to itself.",
    "CL506": "A flow or an invariant selects equipment that has no address (an unmanaged switch).",
    "CL507": "A flow or an invariant stays inside a site and selects roles that no site has both of.",
    # --- sites as built ---
    "CL601": "The site describes a fibre and its blueprint has no fibre cable.",
    "CL602": "The blueprint has a fibre cable and the site does not describe it: the optical budget cannot be judged.",
    "CL603": "The two optical modules do not hear each other. Bidirectional modules come in pairs: one sends at 1310 nm"
    " and listens at 1490 nm (1000BASE-BX10-U), the other the reverse (1000BASE-BX10-D).",
    "CL604": "The site keeps recordings longer than the network's ceiling. The legal ceiling is one month (Code de la"
    " sécurité intérieure, L252-5).",
    "CL605": "A device has no host key in its site file, and the network is the live one. Without it the first"
    " connection could not be told from an impostor's. (The twin makes its own keys.)",
    "CL606": "A host has no MAC address in its site file, so that its switch port cannot be bound to it.",
    "CL607": "A site with a recorder does not say how long recordings are kept.",
    "CL608": "A waiver is past its day. The inventory is still sound; the finding that it excused is not excused any"
    " more, and the audit says so.",
}


def rule(code: str) -> str:
    """Return the paragraph of a code, in either case of letters; InputError when there is no such code."""
    found = RULES.get(code.upper())
    if found is None:
        msg = " ".join(filter(None, [f"there is no rule `{code[:20]}`;", did_you_mean(code.upper(), RULES)]))
        raise InputError(msg)
    return found
