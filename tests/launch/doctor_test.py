"""launch.doctor says all, and whether a run would do."""

from tests.support import doors


def test_the_door_says_all_and_its_status(tmp_path):
  arguments = ("--nosmoke", f"--model_dir={tmp_path}/runs")
  well = doors.enter(tmp_path, "launch.doctor", *arguments)
  assert well.status == 0, well.out
  assert "all is well" in well.out or "it runs" in well.out
  ill = doors.Door(
    tmp_path, "launch.doctor", *arguments, environ={"TF_CONFIG": "{"}
  ).end()
  assert ill.status == 1
  assert "BROKEN   cluster" in ill.out
  assert "cure: mend or unset the variable" in ill.out
  assert not (tmp_path / "runs").exists()
