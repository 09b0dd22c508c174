"""From samples to logits: the parts that a recipe puts together. YAML names this package, not its modules.

recogniser              the model of the parts below
features, utterance_norm, augment       log mel energies, normalisation, SpecAugment
frontend, edges         convolutional subsampling, and what lies beyond the ends of an utterance
encoder, conformer, branchformer, depthwise, frame_wise     the encoders around a mixer
decoder, language_model, attention_cache        Transformers over tokens
transducer              prediction and joint network
streaming, dynamic_chunks       states of several streams, training on chunks
options, parts          checks of options, and of parts that must fit together
"""

from recipes.models.augment import AdaptiveSpecAugment, SpecAugment
from recipes.models.branchformer import Branchformer
from recipes.models.conformer import Conformer
from recipes.models.decoder import TransformerDecoder
from recipes.models.dynamic_chunks import DynamicChunks
from recipes.models.encoder import Encoded, Encoder
from recipes.models.features import GlobalNorm, LogMel
from recipes.models.frontend import ConvFrontend
from recipes.models.language_model import TransformerLM
from recipes.models.recogniser import Output, Recogniser
from recipes.models.transducer import LSTMPrediction, StatelessPrediction, Transducer
from recipes.models.utterance_norm import UtteranceNorm

__all__ = [
    "AdaptiveSpecAugment",
    "Branchformer",
    "Conformer",
    "ConvFrontend",
    "DynamicChunks",
    "Encoded",
    "Encoder",
    "GlobalNorm",
    "LSTMPrediction",
    "LogMel",
    "Output",
    "Recogniser",
    "SpecAugment",
    "StatelessPrediction",
    "Transducer",
    "TransformerDecoder",
    "TransformerLM",
    "UtteranceNorm",
]
