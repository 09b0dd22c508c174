"""What is transcribed: the recordings that a command line names, as 16 kHz mono samples.

recordings      which recordings files, folders, patterns and samples are, and what they are called
reading         audio files, and bare samples, of any format that libsndfile reads
samples         samples of any kind and rate: checked, mixed down and resampled
prefetch        many recordings, read a batch ahead of the work on them

Nothing here imports torch.
"""
