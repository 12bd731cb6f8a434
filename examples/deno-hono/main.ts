import { Hono } from 'hono'

const app = new Hono()
const poweredBy = Deno.env.get('POWERED_BY') || 'Deis Workflow'
app.get('/', (context) => context.text(`deno-hono example on Deno ${Deno.version.deno}, ${poweredBy}\n`))

export default app
