# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema and the parser agree: what one takes the other takes, value by value.

Files are read here as a YAML 1.2 editor would, by a loader of the core schema (PyYAML's is 1.1).
"""
import json
import re

import jsonschema
import pytest
import yaml

HEAD = "version: 1\nname: a\nrun: x\n"


class CoreLoader(yaml.SafeLoader):
    """PyYAML with the scalars of the YAML 1.2 core schema."""


CoreLoader.yaml_implicit_resolvers = {}
for tag, pattern, first in [
        ("null", r"^(~|null|Null|NULL|)$", ["~", "n", "N", ""]),
        ("bool", r"^(true|True|TRUE|false|False|FALSE)$", list("tTfF")),
        ("int", r"^([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
        ("float", r"^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?)$",
         list("-+.0123456789"))]:
    CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), first)
CoreLoader.add_constructor("tag:yaml.org,2002:int",
                           lambda loader, node: int(node.value, 0 if node.value[:2] in ("0x", "0o")
                                                    else 10))
CoreLoader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(node.value))


@pytest.fixture
def schema(drover):
    return json.loads(drover("spec", "schema").stdout)


@pytest.fixture
def validator(schema):
    return jsonschema.Draft202012Validator(schema)


def parser_takes(drover, text):
    """Does the parser find no error?"""
    path = drover.work_dir / "job.yaml"
    path.write_text(text)
    return drover("spec", "check", path, status=None).returncode == 0


def schema_takes(validator, text):
    return all(validator.is_valid(doc) for doc in yaml.load_all(text, CoreLoader))


def test_is_a_schema(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    assert sorted(schema["required"]) == ["name", "run", "version"]


def subschemas(schema, path=""):
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}{name}", inner
        yield from subschemas(inner, f"{path}{name}.")
        yield from subschemas(inner.get("items", {}), f"{path}{name}[].")


def test_fields_are_described_and_their_defaults_and_examples_valid(schema):
    fields = dict(subschemas(schema))
    assert len(fields) > 60
    for path, field in fields.items():
        assert field["description"], path
        if "default" in field:
            jsonschema.Draft202012Validator(field).validate(field["default"])
        for example in field["examples"]:
            jsonschema.Draft202012Validator(field).validate(example)
    assert fields["limits.max_duration"]["default"] == "1d"
    assert fields["retry.on"]["default"] == ["supplier_lost", "preempted", "preflight"]


def test_good_files(drover, validator, source):
    good = [source / "tests/fuzz/corpus/jobspec" / name
            for name in ("minimal.yaml", "every-field.yaml", "aliases.yaml", "canonical.json")]
    good += sorted(source.glob("examples/*/*.yaml"))
    assert len(good) > 4
    for path in good:
        text = path.read_text()
        assert parser_takes(drover, text), path
        for document in yaml.load_all(text, CoreLoader):
            validator.validate(document)


def test_canonical_form_is_valid(drover, validator, source):
    path = source / "tests/fuzz/corpus/jobspec/every-field.yaml"
    jobs = drover.json("spec", "check", path)["files"][0]["jobs"]
    assert len(jobs) == 7
    for job in jobs:
        validator.validate(job)
    text = "".join(f"---\n{json.dumps(job)}\n" for job in jobs)
    assert parser_takes(drover, text)


# field -> values that both take, values that both refuse; as written in YAML
VALUES = {
    "version": (["1", "0x1"], ["2", "'1'", "1.5", "null", "[1]"]),
    "name": (["a", "a-1", "'0'"], ["A", "a_b", "''", "-a", "a-", "5", "x" * 64, "true"]),
    "image": (["host", "oci:x", "docker:debian:12"], ["alpine", "'oci:'", "1"]),
    "envs": (["{}", "{A: 1, B: no, C: 1.5, D: true, E: ''}"],
             ["[A]", "{1A: x}", "{RANK: 0}", "{DROVER_X: 1}", "{OMPI_X: 1}", "{A: [1]}",
              "{A: null}", "null", "x"]),
    "secrets": (["[]", "[HF_TOKEN]"], ["HF_TOKEN", "[RANK]", "[a-b]", "[A, A]", "[1]", "null"]),
    "resources": (["{}"], ["null", "[]", "{gpus: 1}", "{any_of: []}", "{any_of: [{}]}"]),
    "resources.num_nodes": (["1", "2..4", "'3'"], ["2+", "4-", "0", "1.5", "x", "..4", "[1]"]),
    "resources.accelerators": (["H100", "H100-80GiB:8", "[H100]", "null", "cpu"],
                               ["'H100:'", "[]", "8", "{H100: 8}", "'H 100'", "'H100:x'"]),
    "resources.cpus": (["8", "8+", "8-", "2..4", "null"], ["x", "-1", "1.5", "8 +", "+", "true"]),
    "resources.memory": (["32GiB", "32GiB+", "1.5GB..2GB", "null"],
                         ["32", "32gib", "GiB", "1..2GiB", "1GiB..", "-1GiB", "16G8"]),
    "resources.max_price": (["2", "2.20", "'2.20'", "null"], ["0", "-1", "'$2'", "x", "'2 USD'"]),
    "where.location": (["[]", "[tw]", "[TW, eu-west]"], ["tw", "[1]", "[t]", "[tw, tw]",
                                                         "['a b']"]),
    "where.same": (["none", "site"], ["rack", "null", "1", "[site]"]),
    "where.green": (["true", "False"], ["yes", "1", "'true'", "null"]),
    "where.tier": (["[]", "[miner]"], ["[cloud]", "miner", "[miner, miner]"]),
    "where.reliability": (["0.97", "1", "'0.5'", "null"], ["0", "1.5", "97%", "-1"]),
    "where.bandwidth": (["1Gbps+", "10Mbps..1Gbps"], ["1", "1GB+", "1Gbps++"]),
    "where.latency": (["5ms-", "80us"], ["5", "5sec-"]),
    "where.proof_max_age": (["2h", "90m"], ["2", "2hours", "1h30m", "2h+"]),
    "spot": (["auto"], ["'yes'", "null", "[auto]"]),
    "setup": (["make", "'5'", "null"], ["''", "5", "[make]", "true"]),
    "launch.procs_per_node": (["gpu", "cpu-core", "4"], ["0", "gpus", "1.5", "'4'", "null"]),
    "preflight.allreduce": (["100MB/s", "1.5GiB/s", "null"], ["100", "100MBps"]),
    "train.balance": (["auto", "even"], ["off", "null"]),
    "checkpoint.keep": (["1", "10"], ["0", "-1", "1.5", "'3'", "null", "many"]),
    "checkpoint.signal": (["USR1", "null"], ["SIGUSR1", "10"]),
    "retry.on": (["[]", "[preempted]"], ["preempted", "[oom]", "[preempted, preempted]"]),
    "retry.backoff": (["10s", "10s..5m"], ["10s+", "10", "10s.."]),
    "limits.max_duration": (["24h", "1d"], ["24", "null", "1 d"]),
    "limits.max_cost": (["400.00", "null"], ["-1", "USD", "0"]),
    "limits.idle_gpu": (["{below: 10%, for: 30m}"], ["10%", "{below: 10, for: 30m}", "{x: 1}"]),
    "payment.asset": (["IO"], ["io", "BTC", "null"]),
    "payment.account": (["lab.x"], ["''", "'a b'", "5"]),
    "priority": (["0", "100"], ["101", "-1", "50.5", "'50'", "high", "null"]),
    "depends_on": (["[]"], ["prep", "[prep]", "[{}]", "[{job: b, when: later}]", "[{job: B}]",
                            "[{job: b, x: 1}]"]),
    "matrix": (["{lr: [1e-4, x, true]}", "{s: 1..3}", "null"],
               ["{}", "[1]", "{a: []}", "{a: 5}", "{a: x}", "{'1': [1]}", "{a: {b: c}}",
                "{a: [[1]]}"]),
    "ports": (["[]", "[80, 443]"], ["80", "[0]", "[70000]", "[80, 80]", "[http]", "['80']"]),
}


def file_with(path, value):
    """The three fields that must be there, `path` set to `value`."""
    head = "".join(line for line in HEAD.splitlines(True) if not line.startswith(f"{path}:"))
    opening, closing = "", ""
    parts = path.split(".")
    for part in parts[:-1]:
        opening += f"{part}: {{"
        closing += "}"
    return f"{head}{opening}{parts[-1]}: {value}{closing}\n"


@pytest.mark.parametrize("path", VALUES)
def test_schema_and_parser_agree(path, drover, validator):
    good, bad = VALUES[path]
    for value in good:
        text = file_with(path, value)
        assert parser_takes(drover, text), f"the parser refuses {path}: {value}"
        assert schema_takes(validator, text), f"the schema refuses {path}: {value}"
    for value in bad:
        text = file_with(path, value)
        assert not parser_takes(drover, text), f"the parser takes {path}: {value}"
        assert not schema_takes(validator, text), f"the schema takes {path}: {value}"


@pytest.mark.parametrize("text", [
    "version: 1\nname: a\n",
    "version: 1\nrun: x\n",
    "name: a\nrun: x\n",
    HEAD + "spott: auto\n",
    HEAD + "where: {place: tw}\n",
    "just text\n",
    "- a\n- list\n",
])
def test_both_refuse(text, drover, validator):
    assert not parser_takes(drover, text)
    assert not schema_takes(validator, text)
