module example.org/greeting

go 1.25.0
