#!/usr/bin/env python3
"""Every public item has an example that runs: reads what rustdoc says of a crate as JSON, and names what has none.

    cargo +nightly rustdoc --lib --all-features -- -Z unstable-options --output-format json
    ci/examples.py target/doc/shared_term.json

An item is what a path of the crate leads to (a type, a trait, a function, a macro, a constant) and what belongs to one of
those (a method, a constant of a type or of a trait). Fields, variants, associated types and modules need none, nor does
what implements the trait of somebody else.

The lint `rustdoc::missing_doc_code_examples` looks at items alone whose own path is public. Here most modules are private,
and what is public in them is exported from the module above.
"""

import json
import re
import sys

ALONE = {"function", "macro", "proc_macro", "constant", "static", "type_alias", "assoc_const"}
# What a test may say of itself and run all the same.
RUNS = {"rust", "should_panic"}


def has_example(docs):
    """Is one of the code blocks a test that is run?"""
    opening = True
    for fence in re.findall(r"^\s*```+(.*)$", docs, re.M):
        if opening and all(word in RUNS or word.startswith("edition") for word in re.split(r"[\s,]+", fence.strip()) if word):
            return True
        opening = not opening
    return False


def items(index, root):
    """The public items that are reached from `root`, each once, with the paths that they are reached by."""
    seen = set()

    def visit(number, path):
        item = index.get(str(number))
        if item is None or item["crate_id"] != 0 or item["visibility"] not in ("public", "default"):
            return
        (kind, inner), name = next(iter(item["inner"].items())), item["name"] or ""
        if kind == "use":
            target = index.get(str(inner["id"]))
            if inner["is_glob"] and target and "module" in target["inner"]:
                for child in target["inner"]["module"]["items"]:
                    yield from visit(child, path)
            elif not inner["is_glob"]:
                yield from visit(inner["id"], path)
            return
        if number in seen:
            return
        seen.add(number)
        path = [*path, name]
        if kind == "module":
            for child in inner["items"]:
                yield from visit(child, path)
        elif kind == "trait":
            yield item, kind, path
            for child in inner["items"]:
                yield from visit(child, path)
        elif kind in ("struct", "enum", "union"):
            yield item, kind, path
            for implementation in inner["impls"]:
                block = index[str(implementation)]["inner"]["impl"]
                if block["trait"] is None:
                    for child in block["items"]:
                        yield from visit(child, path)
        elif kind in ALONE:
            yield item, kind, path

    return list(visit(root, []))


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        crate = json.load(file)
    try:
        public = items(crate["index"], crate["root"])
    except (KeyError, TypeError, AttributeError) as error:
        sys.exit(f"examples: rustdoc's JSON has another form now (version {crate.get('format_version')}): {error!r}")
    if not public:
        sys.exit("examples: no public item in what rustdoc has written")
    bare = []
    for item, kind, path in public:
        if not has_example(item["docs"] or ""):
            span = item["span"] or {"filename": "?", "begin": [0]}
            bare.append(f"{span['filename']}:{span['begin'][0]}: {kind} {'::'.join(path)} has no example that runs")
    for line in sorted(bare):
        print(line)
    if bare:
        sys.exit(f"examples: {len(bare)} of {len(public)} public items have none")
    print(f"examples: each of {len(public)} public items has one")


if __name__ == "__main__":
    main()
