"""CTranslate2 in a process that never loads PyTorch, whose threads would stand in its way.

python engine.py MODEL KIND THREADS: each line of standard input is a JSON list of sources, beam
and length; each line of standard output that of the translations. Sources and translations are
lists of tokens.
"""

import json
import sys

import ctranslate2


def serve(folder: str, kind: str, threads: int) -> None:
    """Translate until the input ends; a first line says that the model is there."""
    translator = ctranslate2.Translator(
        folder, compute_type=kind, inter_threads=1, intra_threads=threads
    )
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        sources, beam, length = json.loads(line)
        found = translator.translate_batch(
            sources,
            beam_size=beam,
            min_decoding_length=length,
            max_decoding_length=length,
        )
        print(json.dumps([each.hypotheses[0] for each in found]), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
