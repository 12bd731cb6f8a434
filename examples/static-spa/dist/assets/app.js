document.title = location.pathname
