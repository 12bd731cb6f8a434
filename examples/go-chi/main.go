// A small web app that answers with its name.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"runtime"

	"github.com/go-chi/chi/v5"
)

func main() {
	router := chi.NewRouter()
	router.Get("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "go-chi example on %s, %s\n", runtime.Version(), setting("POWERED_BY", "Deis Workflow"))
	})
	log.Fatal(http.ListenAndServe(":"+setting("PORT", "5000"), router))
}

func setting(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
