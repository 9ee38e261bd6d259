print("noded")
