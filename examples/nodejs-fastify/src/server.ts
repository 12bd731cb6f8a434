import Fastify from 'fastify'

const app = Fastify()
const poweredBy: string = process.env.POWERED_BY || 'Deis Workflow'
app.get('/', async () => `nodejs-fastify example on Node.js ${process.version}, ${poweredBy}\n`)

await app.listen({ host: '0.0.0.0', port: Number(process.env.PORT || 5000) })
process.on('SIGTERM', () => app.close())
