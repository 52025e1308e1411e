"""What has to be said of the figures in docs/results.md, by hand."""

INTRODUCTION = """\
# The papers' tables, beside what came out here

Each section is one recipe: an experiment of a paper as data, run by one command.
`maskdef recipes` lists them, `maskdef recipes NAME` says what one trains and what
`--scale cpu` cuts; `--scale paper` is the paper's setting, as far as the paper gives
it. This page is written by `python benchmarks/results_page.py` from the runs in
`benchmarks/results/recipes`.

How to read the tables:

- *paper / here* in one cell: the paper's figure, then ours with its 95 % interval over
  images (Wilson). Each network was trained once, MNIST's twice; the intervals say
  nothing of another training.
- A paper's size of a perturbation means little on another network. Where it matters the
  row is there twice, the second time *matched*: in the size at which the bare
  classifier, attacked, is as accurate as the paper's.
- Attacks of a paper's table do not know the defence, or not all of it. The **adaptive**
  row does: PGD on the whole defence, averaged over masks in each step. The last row
  counts an image only if it withstands all rows above it. **Those two are the ones to
  quote**, and where they are low the defence does not protect against who knows
  it.
- CIFAR-10 is the official one but for 111 of its 60,000 images, which are recompressed.
- What the notes say beyond the tables (sizes of perturbations, what was tried in
  vain) was measured by hand on the same models, and is in no file.
- Methods of the papers' tables that are *not built* here: image quilting, PixelDefend,
  PCL, denoised smoothing, completion of high-sensitivity points.
"""

NOTES: dict[str, str] = {
    "mad/mnist-lenet": """\
**What disagrees.** In the paper's sizes hardly anything happens to a LeNet on images in
[0, 1], but for CW and DeepFool: PGD in Linf 0.015 leaves what the paper's leaves at 0.1
here. We think that the paper's images had another scale; it does not say. At matched
strength both votes keep more than the paper reports, but for the paper's vote under CW.
The 40 points are missed under FGSM, in all six rows, as in the paper's own table.

**What limits it.** In L2 and Linf 20 masks a step made the adaptive attack stronger
still than five, and 50 were not run; with its masks frozen, PGD leaves the paper's vote
5 to 10 % right and ours 2.5 to 7, where nothing should be left. A stronger attacker
will find less than the last row. Under the adaptive attack in L2 our vote is no better
than the paper's. CW and DeepFool make perturbations so small that they survive no mask;
those rows say little of a defence.

**How sure it is.** The second training is this command from a fresh clone on another
machine, with the same seed: where sums are rounded in another order, twenty epochs lead
to another network. What moves most is the *undefended* one, under FGSM and DeepFool in
the paper's sizes, and the sizes that are matched to it.""",
    "mad/cifar10-vgg16": """\
**What disagrees.** The paper's vote, which looks at cells of 4 px, has 55.9 clean here
and 82.7 in the paper; a network that was trained with cells of 8 px for twelve
epochs, begun from a plain one, does not see through smaller ones yet, we think. From
there 40 points cannot be gained where 30 are left: the claim holds under BIM and PGD,
whose attacks leave next to nothing, and not under FGSM, CW and DeepFool.
The votes withstand DeepFool, whose perturbations are small (0.12 at the median in L2),
and not CW, which in the paper they withstand best: cut to 80 steps, it makes all of its
perturbations as large as they may be (1.0).

**Ours** is ahead of the paper's vote in clean accuracy and in 32 of 35 rows, and behind
in the largest sizes in Linf (FGSM 0.02, BIM and PGD 0.015). It is the size of the cells
that does it: with cells of 4 px, the paper's, it is within 4 points of the paper's vote
in every row. And cells of 8 px are easier for who knows of them: **under the adaptive
attack with ten masks a step our vote keeps 12.3, the paper's 26.2.**

**What limits it.** Ten masks a step leave the three votes 26, 12 and 24 where one mask
leaves 46, 56 and 47; twenty and fifty were not run, and may leave less. That attack is
of one norm and of 20 steps. One trained network.""",
    "mad/mask-rates": """\
**What disagrees.** The costs are there, the defence is not: a rate of 3/4 leaves the
paper's vote less than 1/2 in all twelve rows; behind cells of 4 px, for which, we
think, this network was trained too short, it has 13 points less to begin with. With
cells of 8 px, in our votes, the claim is as the paper has it: 3/4 costs 6.4 points
clean and is 3.6 to 11.1 ahead in ten of twelve rows, all but DeepFool's. Under the
adaptive attack the higher rate gains nothing in either.

**What limits it.** One trained network of each rate; five masks a step.""",
    "mad/masked-phases": """\
**What disagrees.** The claim holds by 33 points and more. But the paper's plain
network, masked in test alone, still has 49.4 on clean images, ours 13.3: with three
quarters of all 4-px cells black, a network that was never shown such images makes
nothing of them, and five votes do not help. Grey cells in place of black ones gave it
14.2 on the same images, so it is not the colour; we do not know what the paper's
network had seen. Nor are our plain network and the one that was trained under masks,
both without masks in test, different under BIM, PGD and DeepFool, where the paper's
are (40.3 and 6.1 under PGD). Under CW ours keep 6.2 and 11.8, the paper's 63.1 and
15.9.

**What limits it.** The adaptive attack leaves the vote 37.9 of its 54.6 with Linf 0.01,
ten steps and five masks in each; with Linf 0.015, twenty steps and ten masks 26.2 are
left (Table 4).""",
    "mad/grid-sizes": """\
**What disagrees.** In the paper smaller cells in test defend better and cost clean
accuracy; here they cost so much of it, on a network of twelve epochs, that nothing is
left to defend: 54.6 clean with cells of 4 px, and chance with 2 px (the paper: 63.1).
Cells of 8 px in training and in test are better in 11 of 12 rows. The paper does not
say how long it trained; its order may come back with more epochs, which these figures
cannot tell. There is a sign of it in them: PGD in Linf takes from cells of 4 px 4 to 8
points of what DeepFool, which hardly touches a vote, leaves them, and from cells of
8 px 23 to 24. Under the adaptive attack neither is ahead of the other by more than the
intervals.""",
    "mad/votes": """\
**What disagrees.** Accuracy rises up to three or five views and then stays: what goes
up and down from there is within the intervals. With cells of 4 px in test, the
paper's choice, this network loses 21 to 25 points clean against cells of 8 px, with
which it was trained. We think that twelve epochs, begun from a plain network, were too
few for it to see through masks of another size.

**What limits it.** Most of our lead over the paper's vote is the size of the cells: of
8 px, the paper's five views are as accurate on clean images as our four, and 0.4 to 2.8
points behind under PGD, which is within the intervals. The adaptive attack has ten
steps and five masks in each; more of both will find less. Against it our four views
are *behind* the paper's five, 32.4 against 37.2, and each vote leaves less than a third
of the images in the last row. Early exit saves a view of five and little time, and of
our four, pooled geometrically, none.""",
    "mad/remaining-perturbation": """\
**What disagrees.** The paper's figure has CW as the most sensitive to what is taken
away; here CW, cut to 80 steps, makes perturbations as large as they may be, and is the
least sensitive, and DeepFool, whose perturbations are small, loses half of its effect
with a tenth of them. That is the paper's own explanation: what is small is fragile. For
all others accuracy rises steadily, with no threshold near 40 %: at 40 % left it is 50
to 65, at 100 % 7 to 33.""",
    "sfm/cifar10-black-box": """\
**What disagrees.** Attacks hardly transfer between our two networks: PGD of 16/255 on
the surrogate, which leaves it nothing, leaves the undefended network 62.2, where noise
of that size leaves 61.2 and the paper's surrogate 21.3; of the network of the filter
alone it leaves more than noise does (`NoiseWarning`). On 200 images FGSM transferred
better (43 %), larger steps of PGD did not (57 %): it is not for want of steps. Both
networks are narrow and were trained without augmentation to 98.5 % of their training
images; we think that what fools one of them is its own. The rows therefore say little
of any defence here, and the defended columns are within each other's intervals, but for
TVM, which costs most on clean images.

**What limits it.** One surrogate, of the same architecture and data. The adaptive row
is the one to quote.""",
    "sfm/cifar10-gray-box": """\
**What disagrees.** The paper's masker withstands who knows of it (51.5 under PGD of
8/255); ours does not (15.8), and is no better than the median filter alone, whose
classifier was trained as long. That is no matter of this one training: three
trainings of a smaller network came out alike (README, SFM-Defense). In the paper
FGSM harms its defended model less than ours by 39 points as well, with one
step, where there is little to optimise; we think that its gradients were not those of
the whole model, but cannot tell from the text. CW leaves what is right, as claimed,
but behind *every* filter of the table, JPEG included: its perturbation is as small as
will do, and any filter undoes that. The paper's feature squeezing falls to 8.6 there.

**What limits it.** A network of a quarter of the width, eight epochs and
75 % clean where the paper's has 87. All filters fall to nothing (TVM to 0.2) as soon as
the attacker knows them, in the adaptive row.""",
    "sfm/cifar10-white-box": """\
**What disagrees.** Nothing is left here, of 11.0 and 4.7 under PGD in the paper; and of
its 51.5 under FGSM 1.6. One step harms the paper's model less than 30 by 40 points,
ours as much: a gap that masked gradients would explain. The median filter is attacked
by its exact and by its straight-through gradient, and the worse counts.""",
    "sfm/time-cost": """\
**What limits it.** One thread, with another process on the other core: of the same
work one run took up to twice the time of another, so the ratios are rough (feature
squeezing is no faster than nothing). The paper's are 2.9 in training and 2.7 in
defending, where its text has "about twice".""",
    "sfm/tiny-imagenet-black-box": """\
**What disagrees.** As on CIFAR-10, attacks hardly transfer between our two networks:
PGD of 16/255 on the surrogate leaves the undefended one 40.0, MIM 34.8, Diverse 31.8,
and noise of that size, which knows nothing, 28.0 (`NoiseWarning`); the paper's leave
10.3 and less. The rows tell how much each column minds noise. So read, the claim holds,
and says little: we lead feature squeezing by 6 to 12 points, and by 12 on clean images,
where bit depth and median cost a network 9 points that was not trained with them. JPEG,
on the same network, costs nothing and is behind SFM-Defense in no row of attacks by
more than a point. Against the filter alone, whose classifier was trained as long, the
masker gains 5 to 7 points at 16/255 and none at 8/255. Clean, both are ahead of the
undefended network, which had six epochs less.

**What limits it.** 20 of 200 classes, a sixteenth of the width: 46.6 clean where the
paper's network has 69.9, and hardly more, 49 %, of its training images: it is too
small, or trained too short. The weight of sparsity, `rho = 1.15`, is the library's
default; CIFAR-10's 1.07 left a mask of 0.99 at the mean after five alternations, and
1.25 after the first one of 0.22 and 17 % clean (1.15: 0.46 and 31 %). It was chosen by
these figures, of 1,000 held-out images with the 500 of the table among them, before any
attack. One trained model of each kind.""",
    "sfm/tiny-imagenet-gray-box": """\
**What disagrees.** Here, other than on CIFAR-10, our SFM-Defense keeps as much under
PGD as the paper's, and more. It is not the masker that does it: its filter alone keeps
as much in every row, but for 2 and 3 points under FGSM, and JPEG, whose attacker knows
the bare classifier alone, 6 to 8 points more under PGD. A perturbation of one of our
networks does not pass a filter, it seems, as it does not pass to another network (Table
5). Feature squeezing keeps 27 under PGD, where the paper's keeps 8.7, and is behind
ours by less than it has lost on clean images. CW leaves what is right behind every
filter, as on CIFAR-10.

**What limits it.** As in Table 5: a small network, underfitted, and one of each kind.
All columns fall to nothing, or next to it, once the attacker knows the filter.""",
    "sfm/tiny-imagenet-white-box": """\
**What agrees.** PGD and CW by who knows all leave what they leave in the paper:
nothing, or next to it. FGSM leaves ours twice as much, and as much of the undefended
network: one step is a weak attack on it.

**What limits it.** As in Tables 5 and 6.""",
}
