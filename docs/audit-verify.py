#!/usr/bin/env python3
"""Checks an export of Keyward's audit log without Keyward: Python 3 and its standard library only.

    audit-verify.py EXPORT.jsonl [--key VKEY]... [--anchor FILE]...
    audit-verify.py --proof RECORD.tlog-proof [--key VKEY]...

The format is described in audit-format.md. Exit code 0 when nothing is wrong, 1 when something is, 2 when the
command is not understood. Without an anchor the answer is "unanchored since record N", never "verified".
"""
import argparse
import base64
import hashlib
import json
import struct
import sys

FIELDS = ("actor_kind", "actor_id", "actor_name", "action", "outcome", "reason", "federation_id", "key_id", "target",
          "source", "request_id", "detail")

class Broken(Exception):
    """Something is not as it was written."""

def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# Ed25519, RFC 8032 5.1: the curve, and the check of a signature.
P = 2 ** 255 - 19
Q = 2 ** 252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)

def add(a, b):
    s = (a[1] - a[0]) * (b[1] - b[0]) % P
    t = (a[1] + a[0]) * (b[1] + b[0]) % P
    u, v = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = t - s, v - u, v + u, t + s
    return (e * f % P, g * h % P, f * g % P, e * h % P)

def times(n, point):
    result = (0, 1, 1, 0)
    while n:
        if n & 1:
            result = add(result, point)
        point, n = add(point, point), n >> 1
    return result

def same(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0

def point_of(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P:
        x = x * ROOT % P
    if (x * x - xx) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE = point_of((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))

def has_signed(key, text, signature):
    if len(signature) != 64 or len(key) != 32:
        return False
    a, r, s = point_of(key), point_of(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= Q:
        return False
    # A key or a point of small order would sign anything.
    if same(times(8, a), (0, 1, 1, 0)) or same(times(8, r), (0, 1, 1, 0)):
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + text).digest(), "little") % Q
    return same(times(s, BASE), add(r, times(h, a)))

class Key:
    """A verifier key: NAME+ID+BASE64(1, public key)."""

    def __init__(self, text):
        self.name, ident, data = text.strip().split("+", 2)
        data = base64.b64decode(data, validate=True)
        if data[:1] != b"\x01" or len(data) != 33:
            raise ValueError("not a key of Ed25519")
        self.public = data[1:]
        self.id = sha256(self.name.encode(), b"\n", data)[:4]
        if self.id.hex() != ident:
            raise ValueError("the id is not that of the key")

def open_note(note, keys):
    """Origin, size, root of a checkpoint, and whether one of the keys signed it."""
    text, _, lines = note.rpartition("\n\n")
    text += "\n"
    parts = text.split("\n")
    if len(parts) < 4 or not lines.endswith("\n") or not parts[1].isdigit() or str(int(parts[1])) != parts[1]:
        raise Broken("a checkpoint cannot be read")
    origin, size, root = parts[0], int(parts[1]), base64.b64decode(parts[2], validate=True)
    signed = False
    for line in lines.splitlines():
        dash, name, data = line.split(" ")
        data = base64.b64decode(data, validate=True)
        for key in keys:
            if dash == "\u2014" and name == key.name == origin and data[:4] == key.id:
                if not has_signed(key.public, text.encode(), data[4:]):
                    raise Broken(f"the checkpoint over {size} records is not signed by the key that it names")
                signed = True
    return origin, size, root, signed

def notes_in(text):
    """The notes that an anchor kept: one after the other, in lines of syslog, or in bodies of webhooks."""
    found, lines, signing = [], [], False
    for line in text.splitlines() + [""]:
        if signing and not line.startswith("\u2014 "):
            found.append("\n".join(lines) + "\n")
            lines, signing = [], False
        if line.startswith("{"):
            value = json.loads(line)
            value = value.get("data", value.get("checkpoint", value))
            if "note" in value:
                found.append(value["note"])
        elif "note=" in line:
            data = line.split("note=", 1)[1].strip('"').split()[0].rstrip('"')
            found.append(base64.b64decode(data).decode())
        elif line or lines:
            if line.startswith("\u2014 ") and not signing and "" in lines[:-1]:
                lines = lines[len(lines) - 1 - lines[:-1][::-1].index(""):]  # what stands before was torn
            lines.append(line)
            signing = line.startswith("\u2014 ")
    return found

def record_hash(record):
    """The hash of a record in the chain: each field behind its length; a missing one has the length of all ones."""
    fields = ["keyward-audit-v1", record["prev_hash"], str(record["seq"]), str(record["at_ms"])]
    fields += [record.get(name) for name in FIELDS]
    parts = []
    for field in fields:
        data = (field or "").encode()
        parts += [struct.pack(">Q", 2 ** 64 - 1 if field is None else len(data)), data]
    return sha256(*parts)

class Tree:
    """The tree of RFC 6962, to which leaves are added at its end: the roots of its complete subtrees."""

    def __init__(self, size, roots):
        if len(roots) != bin(size).count("1"):
            raise Broken("the first line names another number of subtrees than there are")
        self.size, self.roots = size, list(roots)

    def push(self, data):
        node, size = sha256(b"\x00", data), self.size
        while size & 1:
            node, size = sha256(b"\x01", self.roots.pop(), node), size >> 1
        self.roots.append(node)
        self.size += 1

    def root(self):
        if not self.roots:
            return sha256()
        node = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            node = sha256(b"\x01", left, node)
        return node

def check_record(record):
    found = record_hash(record)
    if found.hex() != record["hash"]:
        raise Broken(f"record {record['seq']} is not as it was written: its content does not fit its hash")
    return found

def check_export(path, keys, anchors):
    points, ignored = {}, 0
    for anchor in anchors:
        with open(anchor, encoding="utf-8", errors="replace") as file:
            for note in notes_in(file.read()):
                try:
                    _, size, root, signed = open_note(note, keys)
                except (Broken, ValueError):
                    size = None
                if size is None or (keys and not signed):
                    ignored += 1
                else:
                    points.setdefault(size, []).append((root, anchor))
    with open(path, encoding="utf-8") as file:
        header = json.loads(file.readline())["header"]
        if header["format"] != "keyward-audit-bundle-v1":
            raise Broken("it is not an export of this format")
        tree = Tree(header["from"] - 1, [bytes.fromhex(text) for text in header["subtrees"]])
        last, end, anchored, signed_to, fits = header["prev_hash"], None, None, None, header["from"] - 1
        for number, line in enumerate(file, 2):
            (kind, value), = json.loads(line).items()
            if end is not None or kind not in ("record", "checkpoint", "end"):
                raise Broken(f"line {number} does not belong there")
            if kind == "record":
                if value["seq"] != tree.size + 1:
                    raise Broken(f"record {tree.size + 1} was expected, record {value['seq']} came")
                if value["prev_hash"] != last:
                    raise Broken(f"record {value['seq']} does not continue record {tree.size}")
                tree.push(check_record(value))
                last = value["hash"]
                for root, anchor in points.get(tree.size, []):
                    if root != tree.root():
                        raise Broken(f"forged between record {fits + 1} and record {tree.size}: {anchor} vouches for others")
                    anchored = (tree.size, anchor)
                if tree.size in points:
                    fits = tree.size
            elif kind == "checkpoint":
                _, size, root, signed = open_note(value["note"], keys)
                if size != tree.size or root != tree.root():
                    raise Broken(f"the checkpoint over {size} records is not over the records up to {tree.size}")
                if keys and not signed:
                    raise Broken(f"the checkpoint over {size} records is not signed by the key")
                signed_to = size if signed else signed_to
                fits = size
            else:
                end = value
    if end is None:
        raise Broken(f"the file ends after record {tree.size} and has no last line: it was cut off")
    if (end["records"], end["hash"]) != (tree.size - header["from"] + 1, last) or end["root"] != tree.root().hex():
        raise Broken(f"the last line does not fit record {tree.size}")
    far = max(points, default=0)
    if far > header["head"]:
        raise Broken(f"rolled back: {points[far][0][1]} vouches for {far} records, the log had {header['head']}: "
                     f"{far - header['head']} are lost")
    print(f"The chain is whole: records {header['from']} to {tree.size}, head {last}.")
    print(f"Root over {tree.size} records: {tree.root().hex()}.")
    if keys:
        print(f"Signed by the key up to record {signed_to}." if signed_to else "No checkpoint in the file is signed by the key.")
    else:
        print(f"No key was given: signatures were not checked. The file names {header['key']}.")
    if ignored:
        print(f"{ignored} notes of the anchors are not signed by the key and were left aside.")
    if anchored and anchored[0] == tree.size:
        print(f"Verified: {anchored[1]} vouches for all {tree.size} records.")
    elif anchored:
        print(f"Verified up to record {anchored[0]}. Unanchored since record {anchored[0] + 1}.")
    else:
        print(f"Unanchored since record {header['from']}.")

def check_proof(path, keys):
    with open(path, encoding="utf-8") as file:
        head, _, note = file.read().partition("\n\n")
    lines = head.split("\n")
    if lines[0] != "c2sp.org/tlog-proof@v1" or not lines[1].startswith("extra ") or not lines[2].startswith("index "):
        raise Broken("it is not a proof of a record")
    record, index = json.loads(base64.b64decode(lines[1][6:])), int(lines[2][6:])
    if record["seq"] != index + 1:
        raise Broken("the record is not the one that the proof is of")
    node = sha256(b"\x00", check_record(record))
    origin, size, root, signed = open_note(note, keys)
    if keys and not signed:
        raise Broken("the checkpoint is not signed by the key")
    place, last = index, size - 1
    for line in lines[3:]:
        step = base64.b64decode(line)
        if last == 0:
            raise Broken("the path is too long")
        if place & 1 or place == last:
            node = sha256(b"\x01", step, node)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            node = sha256(b"\x01", node, step)
        place, last = place >> 1, last >> 1
    if last != 0 or node != root:
        raise Broken("the path does not lead from the record to the root of the checkpoint")
    print(f"Record {record['seq']} is in the log {origin}, in its checkpoint over {size} records: "
          f"{record['actor_name']} {record['action']} {record.get('target') or ''}".rstrip())
    if not signed:
        print("No key was given: nobody vouches for the checkpoint.")

def main():
    parser = argparse.ArgumentParser(description="Checks an export of Keyward's audit log.")
    parser.add_argument("export", nargs="?")
    parser.add_argument("--proof")
    parser.add_argument("--key", action="append", default=[])
    parser.add_argument("--anchor", action="append", default=[])
    asked = parser.parse_args()
    if (asked.export is None) == (asked.proof is None):
        parser.error("either an export or --proof was expected")
    try:
        keys = [Key(text) for text in asked.key]
        if asked.proof:
            check_proof(asked.proof, keys)
        else:
            check_export(asked.export, keys, asked.anchor)
    except (Broken, ValueError, KeyError, TypeError, IndexError, OSError) as error:
        print(f"Broken: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
