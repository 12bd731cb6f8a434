module example.org/web

go 1.25.0
