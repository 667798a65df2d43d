#!/usr/bin/env python3
"""Writes a JSON schema for each kind of Kubernetes, for kubeconform.

They are taken from the API description inside the Kubernetes module, so that
nothing has to be fetched but Go modules. Unknown fields are refused.

usage: schemas.py SWAGGER.json FOLDER
"""
import json
import os
import sys


def strict(node):
    """Closes objects with known fields, and points references to the common file."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {name: strict(value) for name, value in node.items()}
    if isinstance(closed.get("properties"), dict) and "additionalProperties" not in closed:
        closed["additionalProperties"] = False
    if isinstance(closed.get("$ref"), str):
        closed["$ref"] = "_definitions.json" + closed["$ref"]
    if closed.get("format") == "int-or-string":
        closed = {"type": ["string", "integer"]}
    return closed


def main():
    swagger, folder = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    with open(swagger, encoding="utf-8") as file:
        definitions = strict(json.load(file)["definitions"])
    # A quantity is written as a string or as a number.
    definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {"type": ["string", "number"]}
    with open(os.path.join(folder, "_definitions.json"), "w", encoding="utf-8") as file:
        json.dump({"definitions": definitions}, file)
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            parts = [kind["kind"], kind["group"].split(".")[0], kind["version"]]
            path = "-".join(part for part in parts if part).lower() + ".json"
            with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
                json.dump({"$ref": "_definitions.json#/definitions/" + name}, file)


if __name__ == "__main__":
    main()
