import word_of_config

print(word_of_config.WORD)
