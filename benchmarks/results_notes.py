"""Hand-written text of docs/results.md: the introduction and a note for each recipe."""

INTRODUCTION = """\
# Results: the papers' tables, measured again

Each section is one recipe: an experiment of a paper as data, which one command runs.
`maskdef recipes` lists the recipes. `maskdef recipes NAME` says what a recipe trains
and what `--scale cpu` reduces. `--scale paper` is the paper's setting, as far as the
paper gives it. `python benchmarks/results_page.py` writes this page from the runs in
`benchmarks/results/recipes`.

How to read the tables:

- *paper / here* in one cell: the paper's figure, then ours with its 95 % Wilson
  interval over images. Each network was trained once, MNIST's twice. The intervals do
  not cover the variance between trainings.
- A paper's epsilon means little on another network. Where it matters, a row stands
  twice, the second time *matched*: at the epsilon where the attacked base model has the
  accuracy of the paper's.
- The attackers of a paper's table do not know the defence, or do not know all of it.
  The attacker of the **adaptive** rows does: PGD on the whole defence, each step
  averaged over masks. The last row, the **worst case**, counts an image only if it
  withstands all rows above. **Quote the adaptive rows and the worst case.** Where they
  are low, the defence does not protect against an attacker who knows it.
- CIFAR-10 is the official data set, except that 111 of its 60,000 images are
  recompressed.
- The notes also give figures that are in no table, such as sizes of perturbations and
  failed attempts. They were measured by hand on the same models, and are in no file.
- These methods of the papers' tables are *not built* here: image quilting, PixelDefend,
  PCL, denoised smoothing, completion of high-sensitivity points.
"""

NOTES: dict[str, str] = {
    "mad/mnist-lenet": """\
**Differences from the paper.** At the paper's epsilons, only CW and DeepFool do much
harm to a LeNet on images in [0, 1]. The paper's PGD leaves 11.6 % at Linf 0.015; ours
needs Linf 0.1 for that. We think that the paper's images had another scale; the paper
does not say. At matched strength both votes keep more accuracy than the paper reports,
except the paper's vote under CW. The gain of 40 points is missed under FGSM, in all six
rows, as in the paper's own table.

**Limitations.** In L2 and Linf, the adaptive attack with 20 EOT samples is stronger
than with five, and 50 were not run. With frozen masks, PGD leaves the paper's vote 5 to
10 % and ours 2.5 to 7 %, where it should leave nothing. A stronger attack will
therefore leave less than the last row. Under the adaptive attack in L2, our vote is no
better than the paper's. The perturbations of CW and DeepFool are so small that they
survive no mask; those rows say little about a defence.

**Variance between trainings.** The second training is this command, from a fresh clone
on another machine, with the same seed. Sums are rounded in another order there, and
after twenty epochs that gives another network. The largest changes are in the
*undefended* model, under FGSM and DeepFool at the paper's epsilons, and in the matched
epsilons that follow from it.""",
    "mad/cifar10-vgg16": """\
**Differences from the paper.** The paper's vote, with cells of 4 px, reaches 55.9 %
clean here and 82.7 % in the paper. Our network was trained with cells of 8 px for
twelve epochs, from the weights of a plain network. We think that it has not yet learned
to classify through smaller cells. From 55.9 % a gain of 40 points is impossible where
the attack leaves 30 % without the defence. So the claim holds under BIM and PGD, which
leave next to nothing, and not under FGSM, CW and DeepFool. The votes withstand
DeepFool, whose perturbations are small (the median L2 norm is 0.12). They do not
withstand CW, which in the paper they withstand best: our CW, reduced to 80 steps, makes
all perturbations as large as epsilon allows (1.0).

**Our vote** is ahead of the paper's vote in clean accuracy and in 32 of 35 rows. It is
behind at the largest Linf epsilons (FGSM 0.02, BIM and PGD 0.015). The cell size causes
this: with the paper's cells of 4 px, our vote is within 4 points of the paper's vote in
every row. Cells of 8 px are easier for an attacker who knows the masks. **Under the
adaptive attack with ten EOT samples our vote keeps 12.3 %, the paper's vote 26.2 %.**

**Limitations.** Ten EOT samples leave the three votes 26, 12 and 24 %, where one sample
leaves 46, 56 and 47 %. Twenty and fifty were not run, and may leave less. The adaptive
attack has one norm and 20 steps. Each network was trained once.""",
    "mad/mask-rates": """\
**Differences from the paper.** The higher rate costs accuracy as claimed, but it does
not defend: with the paper's vote, a rate of 3/4 leaves less than 1/2 in all twelve
rows. It starts 13 points lower behind cells of 4 px, for which, we think, this network
was trained too briefly. With cells of 8 px, in our votes, the claim is as in the paper:
3/4 costs 6.4 points clean and is 3.6 to 11.1 points ahead in ten of twelve rows, all
except DeepFool's. Under the adaptive attack the higher rate gains nothing with either
cell size.

**Limitations.** One trained network for each rate; five EOT samples.""",
    "mad/masked-phases": """\
**Differences from the paper.** The claim holds by 33 points and more. But the paper's
plain network, masked in test alone, keeps 49.4 % on clean images, and ours 13.3 %. Our
network was never trained on images with three quarters of all 4-px cells black, and
five votes do not help. Grey cells instead of black ones gave 14.2 % on the same images,
so the colour is not the cause. We do not know what the paper's network had been trained
on. A second difference: without masks in test, our plain network and our network
trained under masks do not differ under BIM, PGD and DeepFool. The paper's do (40.3 and
6.1 % under PGD). Under CW ours keep 6.2 and 11.8 %, the paper's 63.1 and 15.9 %.

**Limitations.** The adaptive attack at Linf 0.01, with ten steps and five EOT samples,
leaves the vote 37.9 % of its 54.6 % clean. At Linf 0.015, with twenty steps and ten EOT
samples, it leaves 26.2 % (Table 4).""",
    "mad/grid-sizes": """\
**Differences from the paper.** In the paper, smaller cells in test defend better and
cost clean accuracy. Here, on a network of twelve epochs, they cost so much of it that
little remains to defend: 54.6 % clean with cells of 4 px, and near chance with 2 px
(12.8 %; the paper: 63.1 %). Cells of 8 px in training and in test are better in 11 of
12 rows. The paper does not say how long it trained. Its order may return with more
epochs; these figures cannot tell. One sign points to it. DeepFool hardly affects a
vote. Compared with what DeepFool leaves, PGD in Linf costs 4 to 8 points with cells of
4 px, and 23 to 24 points with cells of 8 px. Under the adaptive attack neither cell
size is ahead by more than the intervals.""",
    "mad/votes": """\
**Differences from the paper.** Accuracy rises up to three or five views and then stays
level; later changes are within the intervals. With cells of 4 px in test, the paper's
choice, this network loses 21 to 25 points clean against cells of 8 px, with which it
was trained. We think that twelve epochs, from the weights of a plain network, were too
few to classify through masks of another cell size.

**Limitations.** Most of our lead over the paper's vote comes from the cell size. With
cells of 8 px, the paper's five views are as accurate on clean images as our four, and
0.4 to 2.8 points behind under PGD, which is within the intervals. The adaptive attack
has ten steps and five EOT samples; more of both will leave less. Under it our four
views are *behind* the paper's five, 32.4 against 37.2 %. In the last row every vote
keeps less than a third of the images. Early exit saves one view of five and little
time. With our four views, pooled geometrically, it saves none.""",
    "mad/remaining-perturbation": """\
**Differences from the paper.** In the paper's figure, CW is most sensitive to the loss
of a part of its perturbation. Here CW, reduced to 80 steps, makes perturbations as
large as epsilon allows, and is the least sensitive. DeepFool, whose perturbations are
small, loses about half of its effect with a tenth of them. That agrees with the paper's
own explanation: small perturbations are fragile. Under all other attacks accuracy rises
steadily as more is taken away, without a threshold near 40 %: with 40 % of the
perturbation it is 50 to 65 %, with all of it 7 to 33 %.""",
    "sfm/cifar10-black-box": """\
**Differences from the paper.** Attacks hardly transfer between our two networks. PGD of
16/255 on the surrogate leaves the surrogate nothing, and leaves the undefended network
62.2 %. Noise with that epsilon leaves it 61.2 %. In the paper, the attack leaves the
undefended network 21.3 %. For the base model of the filter alone, noise harms more than
this attack (`NoiseWarning`). On 200 images, FGSM transferred better (it left 43 %), and
PGD with larger steps did not (57 %), so too few steps are not the cause. Both networks
are narrow and were trained without augmentation to 98.5 % of their training images. We
think that a perturbation which fools one of them is specific to it. The rows therefore
say little about any defence here. The defended columns are within each other's
intervals, except TVM, which costs most on clean images.

**Limitations.** One surrogate, of the same architecture and data. Quote the adaptive
row.""",
    "sfm/cifar10-gray-box": """\
**Differences from the paper.** The paper's masker withstands an attacker who knows it
(51.5 % under PGD of 8/255). Ours does not (15.8 %), and is no better than the median
filter alone, whose classifier was trained as long. This does not depend on the one
training: three trainings of a smaller network agree
([Measured](defences.md#sfm-defense-measured)).
Under FGSM, too, the paper's defended model keeps 39 points more than ours. FGSM is one
step, which leaves little to optimise. We think that the paper's gradients were not
those of the whole model, but the text does not tell. CW leaves the clean accuracy, as
claimed, but it does so behind *every* filter of the table, JPEG included: CW makes the
smallest perturbation that fools the model, and any filter removes it. The paper's
feature squeezing falls to 8.6 % there.

**Limitations.** A network of a quarter of the width, eight epochs, and 75 % clean where
the paper's has 87 %. All filters fall to nothing (TVM to 0.2 %) as soon as the attacker
knows them, in the adaptive row.""",
    "sfm/cifar10-white-box": """\
**Differences from the paper.** PGD leaves 0.0 % here, and 11.0 and 4.7 % in the paper.
FGSM of 8/255 leaves 1.6 % here, and 51.5 % in the paper. On the paper's model one step
of FGSM leaves 40 points more than 30 steps of PGD (8/255); on ours both leave next to
nothing. Masked gradients would explain that gap. The median filter is attacked through
its exact and through its straight-through gradient, and the worse result counts.""",
    "sfm/time-cost": """\
**Limitations.** One thread, with another process on the other core. One run took up to
twice the time of another for the same work, so the ratios are rough (feature squeezing
is not faster than no defence). The paper's ratios are 2.9 in training and 2.7 in
defending; its text says "about twice".""",
    "sfm/tiny-imagenet-black-box": """\
**Differences from the paper.** As on CIFAR-10, attacks hardly transfer between our two
networks. With epsilon 16/255 on the surrogate, PGD leaves the undefended network
40.0 %, MIM 34.8 % and Diverse 31.8 %. Noise with that epsilon, which uses no network,
leaves 28.0 % (`NoiseWarning`). The paper's attacks leave 10.3 % and less. So the rows
show how much each column suffers from noise. Read in this way the claim holds, and says
little. Our SFM-Defense is 6 to 12 points ahead of feature squeezing under attack, and
12 points on clean images. There, bit depth and median cost 9 points, because the
network was not trained with them. JPEG, on the same network, costs nothing, and no
attack row puts it more than a point behind SFM-Defense. Against the filter alone, whose
classifier was trained as long, the masker gains 5 to 7 points at 16/255 and -0.2 to 1.4
points at 8/255. On clean images both are ahead of the undefended network, which was
trained for six epochs less.

**Limitations.** 20 of 200 classes, and a sixteenth of the width. The network reaches
46.6 % clean, where the paper's has 69.9 %, and only 49 % of its training images: it is
too small, or was trained too briefly. The weight of sparsity, `rho = 1.15`, is the
library's default. CIFAR-10's 1.07 gave a mean mask of 0.99 after five alternations.
After the first alternation, 1.25 gave a mean mask of 0.22 and 17 % clean, and 1.15 gave
0.46 and 31 %. `rho` was chosen by these figures, before any attack, on 1,000 held-out
images that include the 500 of the table. One trained model of each kind.""",
    "sfm/tiny-imagenet-gray-box": """\
**Differences from the paper.** Unlike on CIFAR-10, our SFM-Defense keeps as much under
PGD as the paper's, and more. The masker is not the cause. Its filter alone keeps as
much in every row, except for 2 and 3 points under FGSM. JPEG, whose attacker knows only
the base model, keeps 6 to 8 points more under PGD. It seems that a perturbation of one
of our networks does not pass a filter, just as it does not transfer to another network
(Table 5). Feature squeezing keeps 27 % under PGD, where the paper's keeps 8.7 %. It is
behind ours by less than it loses on clean images. CW leaves the clean accuracy behind
every filter, as on CIFAR-10.

**Limitations.** As in Table 5: a small, underfitted network, and one training of each
kind. All columns fall to nothing, or next to it, once the attacker knows the
filter.""",
    "sfm/tiny-imagenet-white-box": """\
**Agreement with the paper.** White-box PGD and CW leave what they leave in the paper:
nothing, or next to it. FGSM leaves ours twice as much as the paper's, and leaves the
undefended network nearly as much as ours: one step is a weak attack on it.

**Limitations.** As in Tables 5 and 6.""",
}
