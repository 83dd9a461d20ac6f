"""Sound as arrays and tensors: files and resampling, spectra, noise and rooms; it knows no task and no network."""
