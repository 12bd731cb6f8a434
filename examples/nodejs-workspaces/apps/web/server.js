'use strict'
const express = require('express')
const greeting = require('@example/greeting')

const app = express()
app.get('/', (request, response) => {
  response.type('text').send(`${greeting('nodejs-workspaces')}, ${process.env.POWERED_BY || 'Deis Workflow'}\n`)
})

const server = app.listen(process.env.PORT || 5000)
process.on('SIGTERM', () => server.close(() => process.exit(0)))
