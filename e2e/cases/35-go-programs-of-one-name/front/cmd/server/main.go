package main

func main() { println("front") }
