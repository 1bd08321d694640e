"""What the Python oracles say to the cases of a folder: `python oracles.py FOLDER`.

scim2-models evaluates filters and applies PATCH requests, knowing the schemas; scim2-filter-parser gives the tree of a
filter. The cases come from `cargo run --package scim --example differential -- generate FOLDER`; answers are written
beside them, one line for each case, and `differential compare FOLDER` compares them.
"""

import json
import pathlib
import sys
import typing
import warnings

from scim2_filter_parser import ast as tree_ast
from scim2_filter_parser.lexer import SCIMLexer
from scim2_filter_parser.parser import SCIMParser
from scim2_models import EnterpriseUser, Group, PatchOp, ScimFilter, ScimPolicy, SCIMException, User
from pydantic import ValidationError

warnings.simplefilter("ignore")

Person = User[EnterpriseUser]
# Entries that a path describes and that are not there are created, as this product does for Entra.
POLICY = ScimPolicy(unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create)


def keyword(error):
    """The scimType of a refusal; of the first one, when there are many."""
    if isinstance(error, ValidationError):
        for each in error.errors():
            inner = (each.get("ctx") or {}).get("error")
            if getattr(inner, "scim_type", None):
                return inner.scim_type
            if each["type"].startswith("scim_"):
                word = each["type"].removeprefix("scim_")
                first, *rest = word.split("_")
                return first + "".join(part.capitalize() for part in rest)
        return "invalidValue"
    return getattr(error, "scim_type", None) or "invalidSyntax"


def evaluate(text, people):
    try:
        bound = ScimFilter[Person](text)
        return [bool(bound.match(person)) for person in people]
    except (SCIMException, ValidationError, ValueError):
        return "invalidFilter"


def patch(case):
    model = Person if case["kind"] == "User" else Group
    urns = ["urn:ietf:params:scim:schemas:core:2.0:" + case["kind"]]
    urns += [name for name in case["resource"] if name.startswith("urn:")]
    resource = model.model_validate({**case["resource"], "schemas": urns})
    try:
        with POLICY:
            request = PatchOp[model].model_validate({"schemas": [PATCH_URN], "Operations": case["operations"]})
            changed = request.patch(resource, POLICY)
    except (SCIMException, ValidationError) as error:
        return {"error": keyword(error)}
    return {"resource": resource.model_dump(), "changed": changed}


PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


def tree(text):
    """The tree as nested lists, with chains of one operator in one list, as in rules.rs."""
    try:
        return shape(SCIMParser().parse(SCIMLexer().tokenize(text)))
    except Exception:  # noqa: BLE001: the parser raises what it happens to raise
        return None


def shape(node):
    match node:
        case tree_ast.Filter(expr=inner, negated=negated, namespace=namespace):
            found = shape(inner)
            if namespace is not None:
                found = ["[]", path_of(namespace), found]
            return ["not", found] if negated else found
        case tree_ast.LogExpr(op=op, expr1=left, expr2=right):
            word = op.lower()
            parts = []
            for part in (shape(left), shape(right)):
                parts += part[1:] if part[0] == word else [part]
            return [word, *parts]
        case tree_ast.AttrExpr(value=op, attr_path=path, comp_value=value):
            word = op.lower()
            return [word, path_of(path)] if value is None else [word, path_of(path), literal(value)]
    raise ValueError(f"a node of another kind: {node!r}")


def path_of(path):
    name = path.attr_name + (f".{path.sub_attr.value}" if path.sub_attr else "")
    return (f"{path.uri}:{name}" if path.uri else name).lower()


def literal(node):
    value = node.value
    return value


def main(folder):
    people = [Person.model_validate(person) for person in json.loads((folder / "people.json").read_text())["people"]]
    with (
        (folder / "filters.jsonl").open() as cases,
        (folder / "scim2-models.filters.jsonl").open("w") as models,
        (folder / "scim2-filter-parser.filters.jsonl").open("w") as trees,
    ):
        for line in cases:
            case = json.loads(line)
            print(json.dumps(evaluate(case["filter"], people)), file=models)
            print(json.dumps(tree(case["filter"])), file=trees)
    with (folder / "patches.jsonl").open() as cases, (folder / "scim2-models.patches.jsonl").open("w") as models:
        for line in cases:
            print(json.dumps(patch(json.loads(line))), file=models)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
