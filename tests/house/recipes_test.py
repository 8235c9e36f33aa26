"""What the recipes say holds: manifests, flags, statuses, and a real Slurm."""

import configparser
import copy
import glob
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import types

import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from engine.cluster import job_token, strategies
from engine.cluster.discovery import find_cluster
from engine.config import RuntimeConfig
from engine.errors import UserError
from launch.command.flags import settings
from tests.support.doors import enter
from tests.support.testing import ROOT, SHARED

RECIPES = os.path.join(ROOT, "launch", "recipes")
LOCAL_SLURM = os.path.join(SHARED, "slurm", "local_slurm.sh")
KUBERNETES = ("1.31", "1.37")


def text_of(name):
  with open(os.path.join(RECIPES, name)) as file:
    return file.read()


def manifests():
  """All objects of the Kubernetes recipe, by kind."""
  objects = [
    *yaml.safe_load_all(text_of("kubernetes.yaml")),
    *yaml.safe_load_all(text_of("kubernetes_volume.yaml")),
    *yaml.safe_load_all(text_of("kubernetes_fence.yaml")),
  ]
  assert len({each["kind"] for each in objects}) == len(objects)
  return {each["kind"]: each for each in objects}


def job():
  """The Job's spec, its pods' spec and its container."""
  spec = manifests()["Job"]["spec"]
  pod = spec["template"]["spec"]
  (container,) = pod["containers"]
  return spec, pod, container


def arguments_of_pod(index):
  """The container's flags, as Kubernetes hands them to the pod `index`."""
  _, _, container = job()
  flags = (
    argument.replace("$(JOB_COMPLETION_INDEX)", str(index))
    for argument in container["args"]
  )
  return dict(flag.removeprefix("--").split("=", 1) for flag in flags)


# Kubernetes.


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_manifests_fit_the_published_schemas(version):
  for each in manifests().values():
    assert kubernetes_validate.validate(each, version, strict=True) == version


@pytest.mark.parametrize(
  ("name", "value"), [("backOffLimit", 6), ("completions", "two")]
)
def test_the_schemas_would_find_a_slip(name, value):
  wrong = copy.deepcopy(manifests()["Job"])
  wrong["spec"][name] = value
  with pytest.raises(kubernetes_validate.ValidationError):
    kubernetes_validate.validate(wrong, KUBERNETES[0], strict=True)


def test_the_manifests_need_what_each_cluster_has():
  assert {each["apiVersion"] for each in manifests().values()} == {
    "v1",
    "batch/v1",
    "networking.k8s.io/v1",
  }


def test_the_headless_service_names_the_pods_of_the_job():
  service = manifests()["Service"]
  spec, pod, _ = job()
  labels = spec["template"]["metadata"]["labels"]
  assert service["spec"]["selector"].items() <= labels.items()
  assert service["spec"]["clusterIP"] == "None"
  assert pod["subdomain"] == service["metadata"]["name"]


def test_each_pod_finds_its_place_among_the_workers():
  spec, pod, container = job()
  name = manifests()["Job"]["metadata"]["name"]
  (port,) = [each["containerPort"] for each in container["ports"]]
  assert spec["completionMode"] == "Indexed"
  assert spec["completions"] == spec["parallelism"] > 1
  for index in range(spec["completions"]):
    flags = arguments_of_pod(index)
    cluster = find_cluster(
      RuntimeConfig(
        worker_hosts=flags["worker_hosts"],
        worker_index=int(flags["worker_index"]),
      ),
      {},
    )
    assert cluster.size == spec["completions"]
    assert cluster.index == index
    # An Indexed Job calls its pods so.
    assert (
      cluster.addresses[index] == f"{name}-{index}.{pod['subdomain']}:{port}"
    )


def test_the_job_ends_at_a_users_mistake_and_restarts_lost_workers(tmp_path):
  spec, pod, container = job()
  actions = {
    status: rule["action"]
    for rule in spec["podFailurePolicy"]["rules"]
    for status in rule.get("onExitCodes", {}).get("values", ())
  }
  mistake = enter(tmp_path, "launch.train", "--task=demo").status
  assert actions == {mistake: "FailJob", os.EX_TEMPFAIL: "Ignore"}
  assert pod["restartPolicy"] == "Never"  # A podFailurePolicy asks for it.
  # What SIGTERM starts is over before Kubernetes kills.
  assert (
    int(arguments_of_pod(0)["grace_seconds"])
    < pod["terminationGracePeriodSeconds"]
  )
  assert container["command"][0] == "python"  # No shell that keeps SIGTERM.
  for rule in spec["podFailurePolicy"]["rules"]:
    name = rule.get("onExitCodes", {}).get("containerName", container["name"])
    assert name == container["name"]


def test_the_run_lives_on_a_volume_that_all_pods_write_to():
  claim = manifests()["PersistentVolumeClaim"]
  _, pod, container = job()
  (volume,) = pod["volumes"]
  (mount,) = container["volumeMounts"]
  assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
  assert (
    volume["persistentVolumeClaim"]["claimName"] == (claim["metadata"]["name"])
  )
  assert mount["name"] == volume["name"]
  model_dir = arguments_of_pod(0)["model_dir"]
  assert model_dir.startswith(mount["mountPath"] + "/")


def test_the_pods_get_the_token_from_a_secret_that_is_in_no_file():
  _, _, container = job()
  (variable,) = container["env"]
  assert variable["name"] == job_token.VARIABLE
  secret = variable["valueFrom"]["secretKeyRef"]
  made = (
    f"create secret generic {secret['name']} \\\n"
    f"#     --from-literal={secret['key']}="
  )
  assert made in text_of("kubernetes.yaml")
  assert "Secret" not in manifests()


def test_the_image_has_what_a_wheel_has_and_its_user_is_not_root():
  lines = text_of("Dockerfile").splitlines()
  copied = [
    x for line in lines if line.startswith("COPY") for x in line.split()
  ]
  with open(os.path.join(ROOT, ".dockerignore")) as file:
    sent = {line[1:].strip() for line in file if line.startswith("!")}
  assert sent == set(copied) - {"COPY", "./"}
  assert {"engine", "tasks", "launch", "examples"} <= sent
  installs = [i for i, line in enumerate(lines) if "--requirement" in line]
  assert max(installs) < lines.index("COPY engine engine")
  assert lines.index("USER 1000") < lines.index(
    'ENTRYPOINT ["python", "-m", "launch.train"]'
  )
  setup = configparser.ConfigParser()
  setup.read(os.path.join(ROOT, "setup.cfg"))
  extras = re.findall(r"EXTRA=(\w+)", text_of("Dockerfile"))
  assert extras == ["cuda"] and "cuda" in setup["options.extras_require"]
  _, pod, container = job()
  assert pod["securityContext"]["runAsNonRoot"]
  assert f"--uid {pod['securityContext']['runAsUser']} " in text_of(
    "Dockerfile"
  )
  assert container["resources"]["limits"]["memory"]


def test_the_fence_lets_in_the_pods_of_the_job_and_no_others():
  fence = manifests()["NetworkPolicy"]["spec"]
  labels = job()[0]["template"]["metadata"]["labels"]
  assert fence["policyTypes"] == ["Ingress"]
  assert fence["podSelector"] == {"matchLabels": labels}
  assert fence["ingress"] == [
    {"from": [{"podSelector": {"matchLabels": labels}}]}
  ]


# What users copy.


def test_all_flags_in_the_recipes_exist():
  known = {*settings(), "mode", "model_dir", "config_file", "params_override"}
  used, supervised = set(arguments_of_pod(0)), set()
  for path in glob.glob(os.path.join(RECIPES, "*")):
    text = text_of(os.path.basename(path)).replace("\\\n", " ")
    for rest in re.findall(r"(?:launch\.train|slurm\.sbatch) (.*)", text):
      used |= set(re.findall(r"--(\w+)", rest))
    for rest, train in re.findall(r"launch\.supervise (.*?) -- (.*)", text):
      supervised |= set(re.findall(r"--(\w+)", rest))
      used |= set(re.findall(r"--(\w+)", train))
  assert {"task", "model_dir", "strategy", "tpu", "worker_hosts"} <= used
  assert used <= known
  assert supervised == {"max_restarts"}


def test_the_table_names_each_recipe():
  table = text_of("README.md")
  for path in glob.glob(os.path.join(RECIPES, "*")):
    name = os.path.basename(path)
    assert name == "README.md" or name in table, name


# TPU.


def pinned():
  """What constraints.txt has: name in its normal form -> version."""
  with open(os.path.join(ROOT, "constraints.txt")) as file:
    lines = [line.strip() for line in file if not line.startswith("#")]
  return {
    canonicalize_name(name): version
    for name, version in (line.split("==") for line in lines)
  }


def test_the_pins_hold_all_that_apsis_needs_so_no_deps_leaves_nothing_out():
  with open(os.path.join(ROOT, "setup.cfg")) as file:
    section = file.read().split("install_requires =")[1].split("[")[0]
  waiting = [
    Requirement(line.strip())
    for line in section.splitlines()
    if line.strip() and not line.strip().startswith("#")
  ]
  done = set()
  while waiting:
    requirement = waiting.pop()
    name = canonicalize_name(requirement.name)
    if name in done:
      continue
    done.add(name)
    try:
      texts = importlib.metadata.requires(name) or ()
    except importlib.metadata.PackageNotFoundError:
      continue  # `make` leaves it out, since nothing here imports it.
    for text in texts:
      further = Requirement(text)
      extras = requirement.extras or {""}
      if not further.marker or any(
        further.marker.evaluate({"extra": extra}) for extra in extras
      ):
        waiting.append(further)
  assert done - set(pinned()) == set()


def test_the_pins_are_libraries_of_cuda_that_tensorflow_takes():
  """All that its extra asks for: what `make demo` installs beside a driver."""
  found = {}
  for text in importlib.metadata.requires("tensorflow"):
    library = Requirement(text)
    if 'extra == "and-cuda"' in str(library.marker):
      found[library.name] = library.specifier
  assert len(found) > 8
  pins = pinned()
  for name, specifier in found.items():
    assert name in pins and specifier.contains(pins[name]), name


def test_the_clash_of_two_tensorflows_is_refused_with_the_recipe(monkeypatch):
  both = [
    types.SimpleNamespace(metadata={"Name": name})
    for name in ("tensorflow", "tensorflow_tpu")
  ]
  monkeypatch.setattr(importlib.metadata, "distributions", lambda: both)
  with pytest.raises(UserError, match="overwrite each other") as caught:
    strategies.create_strategy(RuntimeConfig(tpu="local"))
  recipe = re.search(r"launch/recipes/(\w+\.md)", str(caught.value))[1]
  # The recipe quotes what the engine says, and installs what it names.
  assert str(caught.value) in " ".join(text_of(recipe).split())
  version = importlib.metadata.version("tensorflow")
  assert f"tensorflow-tpu=={version} libtpu==" in text_of("install_tpu.sh")


def test_a_tpu_gets_no_other_tensorflow_and_nothing_of_cuda():
  (line,) = (
    x for x in text_of("install_tpu.sh").splitlines() if x.startswith("grep ")
  )
  kept = subprocess.run(
    ["bash", "-c", line.split(">")[0]],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  ).stdout.splitlines()
  names = {canonicalize_name(x.split("==")[0]) for x in kept if x[0] != "#"}
  gone = set(pinned()) - names
  assert "tensorflow" in gone
  assert all(x.startswith("nvidia-") for x in gone - {"tensorflow"})
  assert not any(x.startswith("nvidia-") for x in names)


# Slurm.


# Of the batch script's world: all show their arguments.
PROGRAMS = {
  # Runs the task, as srun does, behind its own options.
  "srun": """export BATCH=$PPID
    echo srun "$@"
    while [ "$1" != bash ]; do shift; done
    "$@"
  """,
  "scontrol": 'echo scontrol "$@"',
  "worker": """case $2 in *copied) exec cat;; esac
    echo worker "$@"; echo cpus=$SRUN_CPUS_PER_TASK
    echo token=$APSIS_JOB_TOKEN; eval "$END"
  """,
}


def run_script(directory, *arguments, **environ):
  """Runs the batch script; the one task of its `srun` does $END."""
  bin = directory / "bin"
  bin.mkdir()
  for name, line in PROGRAMS.items():
    (bin / name).write_text(f"#!/bin/sh\n{line}\n")
    (bin / name).chmod(0o755)
  return subprocess.run(
    ["bash", os.path.join(RECIPES, "slurm.sbatch"), *arguments],
    env={
      "PATH": f"{bin}:{os.environ['PATH']}",
      "PYTHON": "worker",
      "SLURM_JOB_ID": "12",
      **environ,
    },
    capture_output=True,
    text=True,
    cwd=environ.get("SLURM_SUBMIT_DIR", ROOT),
    check=False,
  )


def test_the_batch_script_hands_flags_on(tmp_path):
  flags = ("--task=demo", "--params_override=a.b=1, c.d=2")
  ended = run_script(tmp_path, *flags, SLURM_CPUS_PER_TASK="3")
  srun, worker, cpus, token = ended.stdout.splitlines()
  assert srun.startswith("srun --kill-on-bad-exit=1 --label bash ")
  assert worker == "worker -m launch.train " + " ".join(flags)
  assert cpus == "cpus=3"
  assert re.fullmatch("token=[0-9a-f]{64}", token)
  assert token[6:] not in srun + worker
  assert ended.returncode == 0


def test_each_job_has_a_token_of_its_own_or_the_one_it_was_given(tmp_path):
  tokens = []
  for name, environ in (("a", {}), ("b", {}), ("c", {"APSIS_JOB_TOKEN": "x"})):
    (tmp_path / name).mkdir()
    ended = run_script(tmp_path / name, SLURM_CPUS_PER_TASK="3", **environ)
    tokens.append(ended.stdout.splitlines()[-1])
  assert tokens[2] == "token=x" and len(set(tokens)) == 3


@pytest.mark.parametrize(
  ("end", "status", "environ", "requeues"),
  [
    ("exit 0", 0, {}, False),
    ("exit 1", 1, {}, False),
    ("exit 2", 2, {}, False),
    ("exit 75", 75, {}, True),
    ("kill -KILL $$", 137, {}, True),
    ("kill -TERM $$", 143, {}, True),
    # A notice reaches all processes of a task.
    ("kill -USR1 $PPID; exit 75", 75, {}, True),
    ("exit 75", 75, {"SLURM_RESTART_COUNT": "99"}, True),
    ("exit 75", 75, {"SLURM_RESTART_COUNT": "100"}, False),
    ("exit 75", 75, {"APSIS_MAX_REQUEUES": "0"}, False),
    # scancel: the batch script gets TERM.
    ("kill -TERM $BATCH; exit 143", 143, {}, False),
  ],
)
def test_the_batch_script_requeues_what_can_go_on(
  tmp_path, end, status, environ, requeues
):
  ended = run_script(tmp_path, END=end, SLURM_CPUS_PER_TASK="3", **environ)
  assert ended.returncode == status, ended.stderr
  assert ("scontrol requeue 12\n" in ended.stdout) == requeues


@pytest.mark.parametrize("flag", ["--model_dir={}", "--stop_file={}/stop"])
def test_the_batch_script_does_not_requeue_what_a_file_stopped(tmp_path, flag):
  (tmp_path / "stop").touch()
  flags = ("--task=demo", flag.format(tmp_path))
  ended = run_script(tmp_path, *flags, END="exit 75", SLURM_CPUS_PER_TASK="3")
  assert ended.returncode == 75
  assert "scontrol" not in ended.stdout


def test_the_batch_script_says_what_is_missing(tmp_path):
  ended = run_script(tmp_path, PYTHON="no/python")
  assert (ended.returncode, ended.stdout) == (2, "")
  assert (
    ended.stderr == "no/python is not there: run `make test`, or set PYTHON.\n"
  )
  (tmp_path / "elsewhere").mkdir()
  ended = run_script(tmp_path / "elsewhere", SLURM_SUBMIT_DIR=str(tmp_path))
  assert ended.returncode == 2
  assert "submit from the root of Apsis" in ended.stderr


def slurm_is_missing():
  """Why the real Slurm cannot be tried here; empty where it can."""
  path = os.environ["PATH"] + ":/usr/sbin:/sbin"
  if not os.path.exists(LOCAL_SLURM):
    return "../shared/slurm is not there"
  for program in ("sbatch", "slurmctld", "slurmd", "munged"):
    if not shutil.which(program, path=path):
      return f"{program} is not installed"
  if os.geteuid():
    return "only for root do the names of the virtual nodes resolve"
  return ""


@pytest.fixture
def slurm():
  """A real Slurm of two virtual nodes: the environment to reach it."""
  # Sockets live below it: their paths must be short, and open to all users,
  # which pytest's own directories are not.
  state = tempfile.mkdtemp(prefix="slurm")
  environ = {
    **os.environ,
    "LOCAL_SLURM_DIR": state,
    "LOCAL_SLURM_PORT_BASE": str(30000 + os.getpid() % 9 * 300),
  }
  try:
    subprocess.run([LOCAL_SLURM, "start"], env=environ, check=True)
    yield {**environ, "SLURM_CONF": os.path.join(state, "slurm.conf")}
  finally:
    subprocess.run([LOCAL_SLURM, "stop"], env=environ, check=True)
    shutil.rmtree(state)


def submit(slurm, directory, *flags):
  """Submits the recipe to train in directory/run; returns the job's id."""
  submitted = subprocess.run(
    [
      "sbatch",
      "--parsable",
      f"--output={directory}/log",
      os.path.join(RECIPES, "slurm.sbatch"),
      "--task=demo",
      "--encoder=tiny",
      f"--model_dir={directory}/run",
      *flags,
    ],
    env={**slurm, "PYTHON": sys.executable},
    cwd=ROOT,
    check=True,
    capture_output=True,
    text=True,
  )
  return submitted.stdout.strip()


def job_of(slurm, number):
  """What Slurm says of a job: a dictionary of strings."""
  shown = subprocess.run(
    ["scontrol", "--oneliner", "show", "job", number],
    env=slurm,
    check=True,
    capture_output=True,
    text=True,
  )
  return dict(re.findall(r"(\w+)=(\S*)", shown.stdout))


def wait_until(true, what, seconds=240):
  end = time.monotonic() + seconds
  while not true():
    assert time.monotonic() < end, what()
    time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.skipif(bool(slurm_is_missing()), reason=slurm_is_missing())
def test_sbatch_of_the_recipe_trains_on_two_nodes(slurm, tmp_path):
  script = os.path.join(RECIPES, "slurm.sbatch")
  run = tmp_path / "run"
  ended = subprocess.run(
    [
      "sbatch",
      "--wait",
      "--nodes=2",
      f"--output={tmp_path}/log",
      script,
      "--task=demo",
      "--encoder=tiny",
      "--train_steps=20",
      f"--model_dir={run}",
    ],
    env={**slurm, "PYTHON": sys.executable},
    cwd=ROOT,
    check=False,
  )
  assert ended.returncode == 0, (tmp_path / "log").read_text()
  result = json.loads((run / "result.json").read_text())
  assert result["strategy"] == "multi_worker"
  assert result["workers"] == 2
  assert result["global_step"] == 20
  assert result["eval"]["examples_seen"] == 236


@pytest.mark.slow
@pytest.mark.skipif(bool(slurm_is_missing()), reason=slurm_is_missing())
def test_a_job_that_is_told_to_stop_requeues_itself_and_loses_nothing(
  slurm, tmp_path
):
  flags = ("--deterministic", "--train_steps=150", "--checkpoint_interval=1000")

  def ends(directory, number):
    log = directory / "log"
    wait_until(
      lambda: job_of(slurm, number)["JobState"] in ("COMPLETED", "FAILED"),
      lambda: f"{job_of(slurm, number)}\n{log.read_text()}",
    )
    job = job_of(slurm, number)
    assert (job["JobState"], job["ExitCode"]) == ("COMPLETED", "0:0"), (
      log.read_text()
    )
    result = json.loads((directory / "run" / "result.json").read_text())
    return job, result

  told, whole = tmp_path / "told", tmp_path / "whole"
  told.mkdir()
  whole.mkdir()
  number = submit(slurm, told, *flags)
  metrics = told / "run" / "metrics.jsonl"
  wait_until(
    lambda: metrics.exists() and metrics.read_text().count("\n") > 1,
    lambda: (told / "log").read_text(),
  )
  subprocess.run(["scancel", "--signal=USR1", number], env=slurm, check=True)
  job, result = ends(told, number)
  assert job["Restarts"] == "1"
  assert "srun ended with 75: requeued" in (told / "log").read_text()
  job, undisturbed = ends(whole, submit(slurm, whole, *flags))
  assert job["Restarts"] == "0"
  assert result["global_step"] == undisturbed["global_step"] == 150
  assert result["weights_sha256"] == undisturbed["weights_sha256"]
