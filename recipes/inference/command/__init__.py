"""The command line of transcribe.py.

options         its options, and which combinations are refused
transcribe      recordings to files or the screen
stream          --stream: text while audio comes, from files, standard input or a microphone
run             the trained run or release that the options ask for; also for the live server
exported        the exported model that --onnx asks for

torch comes in only with a run.
"""
