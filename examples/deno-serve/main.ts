const poweredBy = Deno.env.get('POWERED_BY') || 'Deis Workflow'

export default {
  fetch: () => new Response(`deno-serve example on Deno ${Deno.version.deno}, ${poweredBy}\n`),
}
