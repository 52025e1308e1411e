"""What every room needs: argument checks, ranges, files, Keras' private parts."""
