print("installed from the folder that the config names")
