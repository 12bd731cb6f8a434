import { Hono } from 'hono'

const app = new Hono()
app.get('/', (context) => context.text(`bun-hono example on Bun ${Bun.version}, ${process.env.POWERED_BY || 'Deis Workflow'}\n`))

export default { port: Number(process.env.PORT || 5000), fetch: app.fetch }
