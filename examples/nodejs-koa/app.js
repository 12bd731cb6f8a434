'use strict'
const Koa = require('koa')

const app = new Koa()
app.use((context) => {
  context.body = `nodejs-koa example on Node.js ${process.version}, ${process.env.POWERED_BY || 'Deis Workflow'}\n`
})

const server = app.listen(process.env.PORT || 5000)
process.on('SIGTERM', () => server.close(() => process.exit(0)))
