"""The figures of the SFM-Defense paper: accuracies in percent, and times.

Each line of a table is an attack. `-` stands for an unknown figure, and for the epsilon
of CW, which has none.
"""

# Table 1.
CIFAR10_BLACK = """
attack  norm epsilon Vanilla   FS  TVM Quilt PixelDefend Sensitivity SFM-Defense
clean   -    -          87.1 85.0 82.7  77.5        78.9        77.6        86.2
pgd     linf 8/255      34.8 44.5 50.5  64.8        46.9        62.2        64.6
pgd     linf 16/255     21.3 28.4 23.6  52.9        29.1        56.3        40.3
mim     linf 8/255      24.4 32.5 36.6  53.6        34.9        53.8        59.7
mim     linf 16/255     12.2 15.4 16.2  34.1        16.0        45.4        33.3
diverse linf 8/255      20.8 28.3 32.4  51.3        31.1        51.0        55.1
diverse linf 16/255     10.4 13.5 14.1  30.5        13.8        44.5        31.3
"""

# Table 2.
CIFAR10_GRAY = """
attack norm epsilon Vanilla   FS  TVM Quilt PixelDefend Sensitivity SFM-Defense
clean  -    -          87.1 85.0 82.7  77.5        78.9        77.6        86.2
fgsm   linf 8/255      14.2 18.4 25.5  32.4        18.2        34.3        56.8
fgsm   linf 16/255     11.8 13.4 13.3  17.8        13.0        27.0        34.2
pgd    linf 8/255       7.2  8.2  7.9  25.8         8.2        43.8        51.5
pgd    linf 16/255      6.8  6.9  6.8  10.8         6.8        33.4        34.7
cw     l2   -           8.2  8.6  8.6  35.5        10.2        51.1        84.9
"""

# Table 3.
SVHN_BLACK = """
attack  norm epsilon Vanilla   FS  TVM Quilt PixelDefend Sensitivity SFM-Defense
clean   -    -          93.8 92.7 92.6  93.3        92.5        92.5        91.3
pgd     linf 8/255      30.2 33.2 34.3  36.0        30.9        57.9        70.0
pgd     linf 16/255     13.6 15.5 15.3  16.7        13.6        29.8        52.6
mim     linf 8/255      30.0 32.6 33.6  35.1        30.6        60.6        67.1
mim     linf 16/255     10.0 11.4 11.1  11.6         9.9        25.2        50.3
diverse linf 8/255      28.8 31.6 32.7  34.2        29.4        60.4        65.8
diverse linf 16/255      9.3 10.7 10.4  11.1         9.3        24.2        48.1
"""

# Table 4. The paper prints TVM's clean figure twice, and so a higher accuracy for the
# larger epsilon of PGD. Read as shifted by one place; CW's figure is lost.
SVHN_GRAY = """
attack norm epsilon Vanilla   FS  TVM Quilt PixelDefend Sensitivity SFM-Defense
clean  -    -          93.8 92.7 92.6  93.3        92.5        92.5        91.3
fgsm   linf 8/255      18.0 20.2 27.1  21.7        18.2        35.8        64.1
fgsm   linf 16/255      5.9  6.6  7.3   6.8         5.5        16.5        50.7
pgd    linf 8/255       8.8 11.1 10.5  12.1         9.4        40.4        42.1
pgd    linf 16/255      3.7  4.6  3.8   4.4         3.6        17.5        17.9
cw     l2   -           3.8  5.1    -   4.7         3.9        35.5        87.9
"""

# Table 5.
TINY_IMAGENET_BLACK = """
attack  norm epsilon Vanilla   FS  TVM Quilt Sensitivity SFM-Defense
clean   -    -          69.9 66.6 67.1  64.6        60.1        58.4
pgd     linf 8/255      19.3 20.2 20.2  35.1        37.8        40.3
pgd     linf 16/255     10.3 10.3 10.9  24.6        32.8        30.1
mim     linf 8/255      17.4 17.1 17.5  31.6        36.1        38.7
mim     linf 16/255      8.3  8.4  8.7  14.2        23.0        22.5
diverse linf 8/255      14.8 14.8 14.8  28.1        33.8        37.2
diverse linf 16/255      7.5  7.4  7.7  12.4        19.9        18.2
"""

# Table 6.
TINY_IMAGENET_GRAY = """
attack norm epsilon Vanilla   FS  TVM Quilt Sensitivity SFM-Defense
clean  -    -          69.9 66.6 67.1  64.6        60.1        58.4
fgsm   linf 8/255       7.4  8.0 12.3  15.4        17.1        24.9
fgsm   linf 16/255      4.5  6.1  6.4   8.2         9.9        15.6
pgd    linf 8/255       7.1  8.7  8.0  12.8        23.0        25.3
pgd    linf 16/255      5.9  6.4  5.5   8.8        17.2        19.9
cw     l2   -          11.4  0.0 12.3  20.4        35.0        53.0
"""

# Table 7, one block for each data set.
CIFAR10_WHITE = """
attack norm epsilon SFM-Defense
clean  -    -              86.2
fgsm   linf 8/255          51.5
fgsm   linf 16/255         37.4
pgd    linf 8/255          11.0
pgd    linf 16/255          4.7
cw     l2   -               1.6
"""

SVHN_WHITE = """
attack norm epsilon SFM-Defense
clean  -    -              91.3
fgsm   linf 8/255          66.2
fgsm   linf 16/255         43.4
pgd    linf 8/255          29.6
pgd    linf 16/255         17.1
cw     l2   -              31.7
"""

TINY_IMAGENET_WHITE = """
attack norm epsilon SFM-Defense
clean  -    -              58.4
fgsm   linf 8/255          10.4
fgsm   linf 16/255          7.6
pgd    linf 8/255           0.4
pgd    linf 16/255          0.1
cw     l2   -               0.2
"""

# Table 8, on CIFAR-10: minutes to train for 50 epochs, classifier included, and minutes
# to defend and classify 10,000 images. Vanilla has no defence.
TIME_COST = {
    "Vanilla": (78.9, 0.3),
    "FS": (78.9, 0.3),
    "PixelDefend": (208.3, 0.8),
    "Sensitivity": (78.9, 9.6),
    "SFM-Defense": (231.7, 0.8),
}
