#!/usr/bin/env python3
"""Brings comments of Rust files within 110 columns: paragraphs with a longer line are filled anew, all others stay as they are.

    python3 scripts/reflow_comments.py [--check] FILE|FOLDER ...

Tables, headings, code and links stay. With --check nothing is written; the exit code is 1 where a line is too long that could be shorter.
"""

import re
import sys
from pathlib import Path

WIDTH = 110
COMMENT = re.compile(r"^(\s*)(///|//!|//)( ?)(.*)$")
RISKY = re.compile(r"^([-+*>|#=]|\d+[.)]$)")
ITEM = re.compile(r"^(\s*)([*-]|\d+\.) ")


def filled(words, first, rest):
    """Lines of at most WIDTH columns; `first` and `rest` are what lines begin with."""
    lines, line = [], first
    for word in words:
        if len(line) > len(first if not lines else rest) and len(line) + 1 + len(word) > WIDTH:
            # What markdown would take for a list, a heading, a table or a quotation does not begin a line.
            carried = []
            while RISKY.match(word if not carried else carried[0]) and " " in line[len(rest):]:
                line, last = line.rsplit(" ", 1)
                carried.insert(0, last)
            lines.append(line)
            line = rest + " ".join([*carried, word])
        else:
            line += word if line in (first, rest) else " " + word
    return lines + [line]


def paragraph(lines, indent, marker):
    """A paragraph, or an item of a list, of texts without their markers."""
    if not any(len(f"{indent}{marker} {text}") > WIDTH for text in lines):
        return [f"{indent}{marker} {text}".rstrip() for text in lines]
    item = ITEM.match(lines[0])
    first = item.group(0) if item else re.match(r"\s*", lines[0]).group(0)
    hanging = " " * len(first)
    body = " ".join(line.strip() for line in [lines[0][len(first):], *lines[1:]])
    start = f"{indent}{marker} "
    return filled(body.split(), start + first, start + hanging)


def reflow(text):
    out, block, key, in_code = [], [], None, False

    def flush():
        nonlocal block
        if block:
            out.extend(paragraph(block, *key))
            block = []

    for line in text.split("\n"):
        found = COMMENT.match(line)
        if not found or (found.group(3) == "" and found.group(4)):
            flush()
            key, in_code = None, False
            out.append(line)
            continue
        this, content = (found.group(1), found.group(2)), found.group(4)
        if this != key:
            flush()
            key, in_code = this, False
        is_fence = content.lstrip().startswith("```")
        stays = in_code or is_fence or not content.strip() or content.lstrip().startswith(("|", "#")) or content.startswith("    ")
        if is_fence:
            in_code = not in_code
        if stays and not (content.startswith("    ") and block and not in_code and not is_fence):
            flush()
            out.append(line)
            continue
        if ITEM.match(content):
            flush()
        block.append(content)
    flush()
    return "\n".join(out)


def main():
    arguments = [a for a in sys.argv[1:] if a != "--check"]
    check, faults = "--check" in sys.argv[1:], 0
    for argument in map(Path, arguments):
        for path in sorted(argument.rglob("*.rs")) if argument.is_dir() else [argument]:
            text = path.read_text()
            new = reflow(text)
            if new != text:
                faults += 1
                print(path)
                if not check:
                    path.write_text(new)
    sys.exit(1 if check and faults else 0)


main()
