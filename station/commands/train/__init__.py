"""The group ``karyoscan train``: what makes the shipped weights and every fitted number again."""

from __future__ import annotations

import typer

from station.commands.options import examples
from station.commands.train.bands import bands
from station.commands.train.classifier import classifier
from station.commands.train.confidence import confidence
from station.commands.train.cover import cover
from station.commands.train.detector import detector
from station.commands.train.evidence import assignment, fusion
from station.commands.train.finder import finder
from station.commands.train.finder_quality import finder_quality
from station.commands.train.instance_masks import instance_masks
from station.commands.train.mask_net import mask_net
from station.commands.train.peer import peer
from station.commands.train.plausibility import plausibility
from station.commands.train.proposals import proposals
from station.commands.train.rescoring import rescoring
from station.commands.train.selection import selection
from station.commands.train.unexplained import unexplained

train_app = typer.Typer(
    help="Train the weights that the product ships, and refit what rests on them.",
    no_args_is_help=True,
    epilog=examples("karyoscan train finder --minutes 45", "karyoscan train rescoring"),
)
train_app.command(
    "finder",
    epilog=examples("karyoscan train finder --minutes 45", "karyoscan train finder --from-casebook runs/demo"),
)(finder)
train_app.command("finder-quality", epilog=examples("karyoscan train finder-quality --images 40"))(finder_quality)
train_app.command("classifier", epilog=examples("karyoscan train classifier --minutes 50"))(classifier)
train_app.command(
    "detector",
    epilog=examples(
        "karyoscan train detector --minutes 90",
        "karyoscan train detector --decay-steps 2000",
        "karyoscan train detector --composed --minutes 90",
    ),
)(detector)
train_app.command(
    "instance-masks",
    epilog=examples(
        "karyoscan train instance-masks --minutes 90", "karyoscan train instance-masks --decay-steps 800"
    ),
)(instance_masks)
train_app.command("mask-net", epilog=examples("karyoscan train mask-net --steps 9000 --minutes 60"))(mask_net)
train_app.command("selection", epilog=examples("karyoscan train selection --limit 100"))(selection)
train_app.command("proposals", epilog=examples("karyoscan train proposals --split fit"))(proposals)
train_app.command("plausibility", epilog=examples("karyoscan train plausibility --images 300"))(plausibility)
train_app.command("fusion", epilog=examples("karyoscan train fusion --processes 2"))(fusion)
train_app.command("assignment", epilog=examples("karyoscan train assignment --processes 2"))(assignment)
train_app.command("cover", epilog=examples("karyoscan train cover --trials 40"))(cover)
train_app.command("rescoring", epilog=examples("karyoscan train rescoring"))(rescoring)
train_app.command("confidence", epilog=examples("karyoscan train confidence"))(confidence)
train_app.command("unexplained", epilog=examples("karyoscan train unexplained --processes 2"))(unexplained)
train_app.command("bands", epilog=examples("karyoscan train bands --step 2"))(bands)
train_app.command("peer", epilog=examples("karyoscan train peer --minutes 20"))(peer)

# Names of earlier versions.
train_app.command("stream", hidden=True)(mask_net)
train_app.command("second-look", hidden=True)(rescoring)

__all__ = ["train_app"]
