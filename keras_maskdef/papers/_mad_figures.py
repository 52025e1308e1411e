"""The figures of the MAD paper, in percent.

Each line of a table is an attack. In column names `_` stands for a space; `-` stands
for a figure that the paper does not give.
"""

# Table 1. The network of column 0 never saw a mask. The paper prints epsilon 1 for the
# first PGD in L1; Tables 3 and 4 have the same figure for 15.
MASK_RATES = """
attack   norm epsilon     0   1/3   1/2   3/4   4/5
clean    -    -       84.18 85.31 84.59 82.65 76.14
fgsm     l1   15      63.53 70.17 78.37 82.63 85.30
fgsm     l1   20      63.01 64.82 73.70 79.25 82.14
fgsm     l2   0.3     67.36 75.95 82.46 84.62 87.55
fgsm     l2   0.4     66.23 70.18 78.33 81.89 84.66
fgsm     linf 0.01    48.88 68.87 76.07 81.05 83.74
fgsm     linf 0.02    40.76 53.77 61.30 68.77 70.61
bim      l1   10      59.02 67.66 79.63 84.71 87.88
bim      l1   15      58.23 51.27 68.89 80.91 84.91
bim      l2   0.3     61.86 61.60 75.69 83.21 87.04
bim      l2   0.4     61.57 49.33 68.02 80.88 84.25
bim      linf 0.01    38.29 57.77 72.21 81.80 86.14
bim      linf 0.015   37.15 39.75 58.60 77.06 82.61
pgd      l1   15      58.49 64.60 79.17 85.44 88.11
pgd      l1   20      57.69 54.85 73.67 83.48 86.89
pgd      l2   0.3     62.30 71.87 82.82 86.42 89.19
pgd      l2   0.4     61.63 62.71 77.28 84.45 87.83
pgd      linf 0.01    40.29 65.37 77.61 84.78 88.26
pgd      linf 0.015   37.16 49.63 67.64 81.45 85.63
cw       l2   1       63.11 95.46 95.87 91.28 93.24
deepfool l2   0.6     53.97 74.01 80.90 84.20 87.22
deepfool l2   0.8     52.61 68.15 76.07 81.19 83.86
deepfool linf 0.01    50.70 75.72 82.95 85.23 87.59
deepfool linf 0.015   44.32 67.31 75.12 80.44 83.81
"""

# Table 2.
MASKED_PHASES = """
attack   norm epsilon neither training  test  both
clean    -    -         84.18    84.65 49.39 82.65
bim      linf 0.01      38.29     3.16 67.98 81.80
pgd      linf 0.01      40.29     6.13 69.37 84.78
cw       l2   1         63.11    15.89 70.06 91.28
deepfool linf 0.01      50.70    35.72 67.98 85.23
"""

# Table 3: side of a cell in training and in the test.
GRID_SIZES = """
attack   norm epsilon 4_and_2 4_and_4 8_and_2 8_and_4 8_and_8
clean    -    -         73.23   76.92   63.11   82.65   82.89
fgsm     l1   15        86.63   83.84   85.34   82.63   75.68
fgsm     l1   20        83.20   79.39   82.74   79.25   71.72
fgsm     l2   0.3       89.54   87.13   86.17   84.62   79.84
fgsm     l2   0.4       86.63   83.41   85.34   81.89   75.11
fgsm     linf 0.01      86.10   82.11   84.42   81.05   73.63
fgsm     linf 0.02      73.64   67.07   73.93   68.77   59.87
bim      l1   10        89.21   85.66   87.64   84.71   75.67
bim      l1   15        84.62   79.36   85.61   80.91   65.50
bim      l2   0.3       87.52   83.55   86.12   83.21   71.88
bim      l2   0.4       83.64   78.06   85.50   80.88   65.82
bim      linf 0.01      86.60   81.86   86.47   81.80   68.67
bim      linf 0.015     81.26   72.97   83.62   77.06   56.05
pgd      l1   15        88.99   84.76   86.64   85.44   76.14
pgd      l1   20        85.78   80.08   86.23   83.48   71.13
pgd      l2   0.3       90.35   87.03   88.07   86.42   78.77
pgd      l2   0.4       88.01   83.48   87.20   84.45   74.79
pgd      linf 0.01      88.64   84.05   86.61   84.78   73.89
pgd      linf 0.015     84.57   77.20   84.46   81.45   65.54
cw       l2   1         94.78   95.25   89.53   91.28   93.94
deepfool l2   0.6       88.54   87.10   85.03   84.20   80.31
deepfool l2   0.8       85.73   82.75   82.65   81.19   75.53
deepfool linf 0.01      90.33   88.21   85.42   85.23   80.42
deepfool linf 0.015     86.03   82.66   82.16   80.44   74.92
"""

# Table 4.
VGG16 = """
attack   norm epsilon attack defence
clean    -    -            -   82.65
fgsm     l1   15       35.48   82.63
fgsm     l1   20       33.02   79.25
fgsm     l2   0.3      38.29   84.62
fgsm     l2   0.4      35.27   81.89
fgsm     linf 0.01     33.02   81.05
fgsm     linf 0.02     28.27   68.77
bim      l1   10       10.23   84.71
bim      l1   15        6.70   80.91
bim      l2   0.3       9.43   83.21
bim      l2   0.4       8.06   80.88
bim      linf 0.01      3.16   81.80
bim      linf 0.015     1.06   77.06
pgd      l1   15        8.75   85.44
pgd      l1   20        6.36   83.48
pgd      l2   0.3      12.47   86.42
pgd      l2   0.4       9.01   84.45
pgd      linf 0.01      6.13   84.78
pgd      linf 0.015     2.30   81.45
cw       l2   1        15.89   91.28
deepfool l2   0.6      34.64   84.20
deepfool l2   0.8      31.81   81.19
deepfool linf 0.01     35.72   85.23
deepfool linf 0.015    32.26   80.44
"""

# Table 5, on the left.
LENET = """
attack   norm epsilon attack defence
clean    -    -            -   96.13
fgsm     l1   10       44.12   68.94
fgsm     l1   20       28.35   49.50
fgsm     l2   0.8      34.85   58.60
fgsm     l2   1.0      30.28   52.82
fgsm     linf 0.03     36.26   61.82
fgsm     linf 0.04     28.58   50.31
bim      l1   4         8.98   59.49
bim      l1   6         2.26   44.17
bim      l2   0.2      16.55   69.23
bim      l2   0.3       3.79   49.04
bim      linf 0.015    11.72   70.94
bim      linf 0.02      3.62   56.33
pgd      l1   4        16.04   71.79
pgd      l1   6         3.37   54.75
pgd      l2   0.2      22.98   77.87
pgd      l2   0.4       1.26   48.85
pgd      linf 0.015    11.64   70.90
pgd      linf 0.02      3.27   56.38
cw       l2   1.5       0.20   93.39
deepfool l2   0.6      32.62   61.05
deepfool l2   0.8      26.49   51.39
deepfool linf 0.05     24.77   47.26
deepfool linf 0.07     22.50   39.76
"""

# Table 5, on the right.
RESNET18 = """
attack   norm epsilon attack defence
clean    -    -            -   91.65
fgsm     l1   15       50.47   76.84
fgsm     l1   20       45.85   70.25
fgsm     l2   0.4      53.17   80.40
fgsm     l2   0.6      46.77   71.48
fgsm     linf 0.01     57.12   85.40
fgsm     linf 0.02     46.06   68.95
bim      l1   10       15.46   80.37
bim      l1   12       11.54   75.85
bim      l2   0.25     21.75   84.40
bim      l2   0.3      16.59   81.37
bim      linf 0.01     16.06   86.31
bim      linf 0.02      2.58   71.00
pgd      l1   14       15.09   84.14
pgd      l1   16       12.11   82.35
pgd      l2   0.4      16.40   84.22
pgd      l2   0.5      12.17   81.37
pgd      linf 0.01     10.10   84.45
pgd      linf 0.02      4.69   80.51
cw       l2   1.8      21.70   96.05
deepfool l2   0.5      59.78   87.09
deepfool l2   0.7      53.87   82.22
deepfool linf 0.01     57.10   88.06
deepfool linf 0.02     46.39   72.98
"""

# Table 6.
COMPARISON = """
attack   norm epsilon MagNet Denoised_smoothing Parseval_networks   PCL   MAD
clean    -    -        82.32              77.92             77.89 83.47 82.65
fgsm     l1   15       67.41              81.97             43.20 74.94 82.63
fgsm     l1   20       65.68              76.50             33.11 70.53 79.25
fgsm     l2   0.3      72.15              85.88             52.41 79.54 84.62
fgsm     l2   0.4      69.75              81.70             42.69 75.32 81.89
fgsm     linf 0.01     57.81              82.83             44.22 75.56 81.05
fgsm     linf 0.02     44.96              65.25             20.75 62.72 68.77
bim      l1   10       66.56              80.11             45.23 64.03 84.71
bim      l1   15       62.63              68.58             26.22 48.03 80.91
bim      l2   0.3      67.63              77.36             38.57 61.26 83.21
bim      l2   0.4      65.73              68.06             24.96 48.34 80.88
bim      linf 0.01     51.34              75.51             29.54 59.83 81.80
bim      linf 0.015    42.84              62.41             13.52 43.31 77.06
pgd      l1   15       67.08              79.83             37.84 66.63 85.44
pgd      l1   20       64.66              72.81             24.64 53.18 83.48
pgd      l2   0.3      71.98              84.65             48.20 76.08 86.42
pgd      l2   0.4      69.44              79.17             35.14 66.70 84.45
pgd      linf 0.01     56.92              81.17             36.89 72.22 84.78
pgd      linf 0.015    47.79              70.74             19.35 54.74 81.45
cw       l2   1        92.58              99.74             43.42 89.48 91.28
deepfool l2   0.6      63.84              65.04             34.10 49.95 84.20
deepfool l2   0.8      60.45              57.97             44.51 47.68 81.19
deepfool linf 0.01     62.79              81.43             30.49 58.80 85.23
deepfool linf 0.015    54.26              71.68              9.49 53.28 80.44
"""

# Figure 2, from the text of section 3.1: accuracies, from 0 to 1, without masks and
# with one and seven masked views; images a second with seven views on an RTX 3090.
FIGURE2 = {
    "unmasked": 0.8418,
    "one view": 0.7589,
    "seven views": 0.8297,
    "images a second": 296.0,
}
