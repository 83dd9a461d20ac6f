"""Sound as arrays and tensors: files and resampling, spectra; it knows no task and no network."""
