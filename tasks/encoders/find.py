"""Where an encoder comes from: what `--encoder` may name."""

from collections.abc import Sequence

from engine.errors import UserError, shortened
from tasks.encoders.bert.family import BertFiles
from tasks.encoders.distilbert.family import DistilBertFiles
from tasks.encoders.electra.family import ElectraFiles
from tasks.encoders.hub.family import HubFiles
from tasks.encoders.modernbert.family import ModernBertFiles
from tasks.encoders.mpnet.family import MPNetFiles
from tasks.encoders.roberta.family import RobertaFiles
from tasks.encoders.sources import hugging_face
from tasks.model.contract import EncoderFiles

# A directory is of the first that knows it.
FAMILIES: Sequence[type[EncoderFiles]] = (
  HubFiles,
  DistilBertFiles,
  ElectraFiles,
  RobertaFiles,
  MPNetFiles,
  ModernBertFiles,
  BertFiles,
)


def find(encoder: str) -> EncoderFiles:
  """Finds an encoder, and imports it first where that is needed.

  Args:
    encoder: `demo`; the name of a random one; a directory, local or on a file
      system that TensorFlow reads (`gs://...`), of Model Garden, of
      google-research/bert (TensorFlow 1) or with a SavedModel, or a local one
      of Hugging Face; `hf:OWNER/NAME` of its hub; the address of a TensorFlow
      Hub encoder; or `hub:` and one of the last kind, which then runs as the
      SavedModel that it is.

  Raises:
    UserError: where `encoder` is none of these, or damaged.
  """
  if hugging_face.is_name(encoder):
    encoder = hugging_face.fetched(encoder)
  by_name = [family for family in FAMILIES if encoder in family.names]
  for family in by_name or FAMILIES:
    found = family.open(encoder)
    if found:
      return found
  families = reversed(FAMILIES)
  names = ", ".join(name for family in families for name in family.names)
  raise UserError(
    f"`encoder` is {shortened(encoder, 150)!r}, but must be {names}, "
    "hf:OWNER/NAME, the https address of a TensorFlow Hub encoder, or a "
    "directory with config.json (Hugging Face), bert_config.json (Google) or "
    "saved_model.pb."
  )
