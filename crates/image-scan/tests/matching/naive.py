"""Matches packages with OSV records, slowly and by the letter of the schema. Shares nothing with image-scan.

usage: naive.py RECORDS PAIRS. RECORDS holds records, each after a line with its length; PAIRS has lines of ecosystem, name and version, between tabs.
Prints one line of JSON a pair: a list of [names, "affected" or "unknown", fix].
"""

import functools
import json
import re
import sys


class NotAVersion(Exception):
    pass


def dpkg(text):
    found = re.fullmatch(r"(?:(\d+):)?(\d[A-Za-z0-9.+~:-]*?)(?:-([A-Za-z0-9.+~]+))?", text, re.ASCII)
    if not found or found[2].endswith("-") or (not found[3] and "-" in found[2]):
        raise NotAVersion(text)

    def key(part):
        # Each character as a number; the end of a word is 0, and a number stands after each word.
        out = []
        for word, number in re.findall(r"([^0-9]*)([0-9]*)", part):
            out += [(-1 if c == "~" else ord(c) if c.isalpha() else ord(c) + 256) for c in word] + [0, int(number or 0)]
        return out + [0] * 9

    return [int(found[1] or 0)], key(found[2]), key(found[3] or "0")


def apk(text):
    shape = r"(\d+)((?:\.\d*)*)([a-z]\d*)?((?:_(?:alpha|beta|pre|rc|cvs|svn|git|hg|p)\d*)*)(?:~([0-9a-f]+))?(?:-r(\d*))?"
    found = re.fullmatch(shape, text, re.ASCII)
    if not found:
        raise NotAVersion(text)
    ranks = ["alpha", "beta", "pre", "rc", "", "", "", "", "cvs", "svn", "git", "hg", "p"]
    # What comes next: a suffix before a release 0, the end 1, a revision 2, a hash 3, a number of a suffix 4, another suffix 5, a gap 6, a letter 7, digits 8.
    def digits(n):
        return (8, 0, 0, n) if n.startswith("0") else (8, 1, int(n), "")

    key = [(8, 1, int(found[1]), "")]
    key += [digits(n) if n else (6,) for n in found[2].split(".")[1:]]
    if found[3]:
        key.append((7, found[3][0]))
        if found[3][1:]:
            key.append(digits(found[3][1:]))
    for word, number in re.findall(r"_([a-z]+)(\d*)", found[4]):
        rank = ranks.index(word)
        key.append((0 if rank < 4 else 5, rank))
        if number:
            key.append((4, int(number)))
    if found[5]:
        key.append((3, found[5]))
    if found[6] is not None:
        key.append((2, int(found[6] or 0)))
    return key + [(1,)]


def semver(text):
    shape = r"v?(\d+(?:\.\d+)*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
    found = re.fullmatch(shape, text, re.ASCII)
    if not found:
        raise NotAVersion(text)
    numbers = [int(n) for n in found[1].split(".")]
    numbers += [0] * (3 - len(numbers))
    if found[2] is None:
        return numbers, (1,)
    return numbers, (0, [(0, int(i), "") if i.isdigit() else (1, 0, i) for i in found[2].split(".")])


def pep440(text):
    shape = (
        r"v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?(\d*))?"
        r"(?:-(\d+)|([-_.]?(?:post|rev|r)[-_.]?(\d*)))?(?:[-_.]?(dev)[-_.]?(\d*))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?"
    )
    found = re.fullmatch(shape, text.strip().lower(), re.ASCII)
    if not found:
        raise NotAVersion(text)
    epoch, release, word, number, short, post, post_number, dev, dev_number, local = found.groups()
    release = [int(n) for n in release.split(".")]
    while release and release[-1] == 0:
        release.pop()
    is_post = short is not None or post is not None
    before = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}.get(word, word)
    # A development release of a release is before its alphas.
    pre = (before, int(number or 0)) if word else ("", 0) if dev and not is_post else ("z", 0)
    parts = [(1, int(i), "") if i.isdigit() else (0, 0, i) for i in re.split("[-_.]", local)] if local else []
    return (
        int(epoch or 0),
        release,
        pre,
        int(short or post_number or 0) if is_post else -1,
        int(dev_number or 0) if dev else float("inf"),
        parts,
    )


@functools.total_ordering
class Maven:
    """A tree: a hyphen, and a change between digits and letters, opens a list within the list."""

    KNOWN = ["alpha", "beta", "milestone", "rc", "snapshot", "", "sp"]

    def __init__(self, text):
        if not text or re.search(r"[^!-~]|[${}\[\](),]", text):
            raise NotAVersion(text)
        # A zero stands where nothing does; the mark ^ opens a list.
        text = re.sub(r"(?<=[0-9])(?=[^0-9.-])|(?<=[^0-9.-])(?=[0-9])", "^", text.lower())
        lists = [[]]
        for mark, item, after in re.findall(r"(^|[.^-])([^.^-]*)(?=(.?))", text):
            if mark in ("-", "^"):
                lists.append([])
            if item.isdigit():
                lists[-1].append(int(item))
            elif item:
                item = {"a": "alpha", "b": "beta", "m": "milestone"}.get(item, item) if after == "^" else item
                lists[-1].append({"cr": "rc", "ga": "", "final": "", "release": ""}.get(item, item))
            elif after:
                lists[-1].append(0)
        tree = []
        for items in reversed(lists):
            while items and items[-1] in (0, ""):
                items.pop()
            tree = items + ([tree] if tree else []) if items or not tree else tree
        # The outermost list stays, even if nothing but another list is in it.
        self.tree = tree if lists[0] or not tree else [tree]

    @classmethod
    def compare(cls, a, b):
        if a is None and b is None:
            return 0
        if a is None:
            return -cls.compare(b, a)
        if isinstance(a, int):
            return a - b if isinstance(b, int) else (a > 0) if b is None else 1
        if isinstance(a, str):
            if isinstance(b, (int, list)):
                return -1
            rank = lambda word: (cls.KNOWN.index(word), "") if word in cls.KNOWN else (9, word)
            a, b = rank(a), rank(b or "")
            return (a > b) - (a < b)
        if b is None:
            return cls.compare(a[0], None) if a else 0
        if not isinstance(b, list):
            return -1 if isinstance(b, int) else 1
        for i in range(max(len(a), len(b))):
            if said := cls.compare(a[i] if i < len(a) else None, b[i] if i < len(b) else None):
                return said
        return 0

    def __eq__(self, other):
        return other is not None and self.compare(self.tree, other.tree) == 0

    def __lt__(self, other):
        return self.compare(self.tree, other.tree) < 0

    __hash__ = None


ORDERS = {"Maven": Maven, "Debian": dpkg, "Alpine": apk, "npm": semver, "crates.io": semver, "Go": semver, "PyPI": pep440}


@functools.cache
def read(family, text):
    try:
        return ORDERS[family](text)
    except NotAVersion:
        return None


def in_range(family, version, events):
    """True, False, or None where a version in the range cannot be read."""
    turns, limits, broken = [], [], set()
    for event in events:
        for kind, text in event.items():
            if kind == "introduced" and text == "0":
                turns.append((None, kind))
            elif kind == "limit" and text == "*":
                return in_range(family, version, [e for e in events if "limit" not in e])
            elif read(family, text) is None:
                broken.add(kind)
            elif kind == "limit":
                limits.append(read(family, text))
            else:
                turns.append((read(family, text), kind))
    turns = [turn for turn in turns if turn[0] is None] + sorted(
        [turn for turn in turns if turn[0] is not None], key=lambda turn: turn[0]
    )
    affected = False
    for at, kind in turns:
        if kind == "introduced" and (at is None or at <= version):
            affected = True
        if kind == "fixed" and at <= version:
            affected = False
        if kind == "last_affected" and at < version:
            affected = False
    if limits and not any(version < limit for limit in limits):
        affected = False
    if "introduced" in broken or (broken and affected):
        return None
    return affected


def fix_of(family, version, ranges):
    """The highest of the next fixes of some ranges; the last affected versions only where no fix is known."""
    fixes, lasts = [], []
    for events in ranges:
        known = [(read(family, e[k]), e[k], k) for e in events for k in e if k != "introduced" and read(family, e[k])]
        later = [(at, text) for at, text, kind in known if kind == "fixed" and (version is None or version < at)]
        last = [(at, text) for at, text, kind in known if kind == "last_affected" and (version is None or version <= at)]
        if later:
            fixes.append(min(later, key=lambda f: f[0]))
        elif last:
            lasts.append(min(last, key=lambda f: f[0]))
    if fixes:
        return ["in", max(fixes, key=lambda f: f[0])[1]]
    return ["after", max(lasts, key=lambda f: f[0])[1]] if lasts else ["none", ""]


def judge(record, ecosystem, name, text):
    """None, or a standing and a fix."""
    family = ecosystem.split(":")[0]
    version = read(family, text)
    best = None
    for entry in record.get("affected") or []:
        package = entry.get("package") or {}
        known = package.get("name", "")
        if family == "PyPI":
            known, name = (re.sub("[-_.]+", "-", n).lower() for n in (known, name))
        if package.get("ecosystem") not in (ecosystem, family) or known != name:
            continue
        ranges = [r["events"] for r in entry.get("ranges") or [] if r["type"] != "GIT"]
        versions = entry.get("versions") or []
        listed = text in versions or (version is not None and any(version == read(family, v) for v in versions))
        if version is None:
            whole = [events == [{"introduced": "0"}] for events in ranges]
            standing = "affected" if listed or any(whole) else "unknown"
            holding = [] if any(whole) else ranges
        else:
            said = [in_range(family, version, events) for events in ranges]
            holding = [events for events, yes in zip(ranges, said) if yes] or (ranges if listed else [])
            if True in said or listed:
                standing = "affected"
            elif None in said or not (any(ranges) or versions):
                standing = "unknown"
            else:
                continue
        if standing == "affected":
            if best and best[0] == "affected":
                best[1].extend(holding)
            else:
                best = ["affected", list(holding)]
        elif best is None:
            best = ["unknown", []]
    if best is None or record.get("withdrawn"):
        return None
    return best[0], fix_of(family, version, best[1]) if best[0] == "affected" else ["none", ""]


def names_of(record):
    copied = [u for u in record.get("upstream") or [] if record["id"].endswith("-" + u)]
    return {record["id"], *(record.get("aliases") or []), *copied[:1]}


def subjects_of(record):
    upstream = record.get("upstream") or []
    if any(record["id"].endswith("-" + u) for u in upstream):
        return []
    if not upstream and re.match("D(S|L|TS)A-", record["id"]):
        return record.get("related") or []
    return upstream


def join(family, said):
    """Sets of names that overlap are one, until none does."""
    groups = []
    for record, standing, fix in said:
        if not subjects_of(record):
            groups.append([names_of(record), [(standing, fix)]])
    again = True
    while again:
        again = False
        for i in range(len(groups)):
            for j in range(i + 1, len(groups)):
                if groups[i][0] & groups[j][0]:
                    groups[i] = [groups[i][0] | groups[j][0], groups[i][1] + groups[j][1]]
                    del groups[j]
                    again = True
                    break
            if again:
                break
    alone = []
    for record, standing, fix in said:
        subjects = set(subjects_of(record))
        if subjects:
            about = [g for g in groups if g[0] & subjects]
            for group in about:
                group[1].append((standing, fix))
                group.append(names_of(record))
            if not about:
                alone.append([names_of(record), [(standing, fix)]])
    out = []
    for names, members, *more in groups + alone:
        standing = "affected" if any(s == "affected" for s, _ in members) else "unknown"
        fixes = [f for s, f in members if s == "affected"]
        best = ["none", ""]
        for kind in ("after", "in"):
            known = [text for k, text in fixes if k == kind]
            if known:
                best = [kind, max(known, key=lambda text: read(family, text))]
        out.append([sorted(names.union(*more)), standing, best])
    return sorted(out)


def main():
    by_name = {}
    with open(sys.argv[1], "rb") as file:
        while line := file.readline():
            record = json.loads(file.read(int(line)))
            for entry in record.get("affected") or []:
                name = (entry.get("package") or {}).get("name", "")
                by_name.setdefault(re.sub("[-_.]+", "-", name).lower(), {})[record["id"]] = record
    with open(sys.argv[2], encoding="utf-8") as file:
        for line in file:
            ecosystem, name, version = line.rstrip("\n").split("\t")
            said = []
            for record in by_name.get(re.sub("[-_.]+", "-", name).lower(), {}).values():
                if judged := judge(record, ecosystem, name, version):
                    said.append((record, *judged))
            print(json.dumps(join(ecosystem.split(":")[0], said)))


main()
