import os
import setuptools

# As packages do whose parts in C are left out or in.
with open("word_of_config.py", "w") as file:
    file.write("WORD = %r\n" % os.environ.get("WORD", ""))
setuptools.setup(name="word-of-config", version="1.0.0", py_modules=["word_of_config"])
