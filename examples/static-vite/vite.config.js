// The version of Node.js that built the site is part of it.
export default { define: { BUILT_BY: JSON.stringify(`Node.js ${process.version}`) }, plugins: [{
  name: 'version',
  transformIndexHtml: (html) => html.replace('%BUILT_BY%', `Node.js ${process.version}`),
}] }
