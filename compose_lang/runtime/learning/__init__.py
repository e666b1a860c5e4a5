"""Learning parts from data: training, the files of weights, and what binds weights to a program's energy."""
