import { serve } from '@hono/node-server'
import { Hono } from 'hono'

const app = new Hono()
app.get('/', (context) =>
  context.text(`nodejs-hono example on Node.js ${process.version}, ${process.env.POWERED_BY || 'Deis Workflow'}\n`)
)

const server = serve({ fetch: app.fetch, port: Number(process.env.PORT || 5000) })
process.on('SIGTERM', () => server.close(() => process.exit(0)))
