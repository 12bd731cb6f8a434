package main

// #cgo CFLAGS: -I${SRCDIR}/include
// #include "word.h"
// static const char *word() { return WORD; }
import "C"

import "os"

func main() {
	if _, err := os.Stdout.WriteString(C.GoString(C.word())); err != nil {
		panic(err)
	}
}
