'use strict'
const express = require('express')

const app = express()
app.get('/', (request, response) => {
  response.type('text').send(`nodejs example, powered by ${process.env.POWERED_BY || 'Deis Workflow'}\n`)
})

const server = app.listen(process.env.PORT || 5000)
// Finishes the requests under way; connections without one are closed at once.
process.on('SIGTERM', () => server.close(() => process.exit(0)))
