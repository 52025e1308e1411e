import sys

from maskdef import main

sys.exit(main())
