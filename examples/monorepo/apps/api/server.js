'use strict'
const http = require('node:http')

const text = `monorepo example on Node.js ${process.version}, ${process.env.POWERED_BY || 'Deis Workflow'}\n`
const server = http.createServer((request, response) => response.end(text))
server.listen(process.env.PORT || 5000, '0.0.0.0')
process.on('SIGTERM', () => server.close())
