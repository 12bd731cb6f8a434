// Prints the version of a package for a range: the preferred one if it fits, else the newest that does.
// Asks npm for the versions that there are, and keeps the answer in case the registry cannot be reached.
'use strict'
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const [npm, folder, name, preferred, range, where] = process.argv.slice(2)
const semver = require(path.join(npm, 'node_modules/semver'))
const title = name === 'node' ? 'Node.js' : name
const kept = path.join(folder, name === 'node' ? 'versions.json' : `versions-${name.replace(/\W/g, '-')}.json`)
// Older ones run no npm that reads today's registries.
const MAJOR_MIN = name === 'node' ? 6 : 0

function fail(problem) {
  console.error(`error: ${problem}`)
  process.exit(1)
}

function published() {
  try {
    const words = [path.join(npm, 'bin/npm-cli.js'), 'view', name, 'versions', '--json']
    const answer = execFileSync(process.execPath, words, { stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 16 << 20 })
    fs.writeFileSync(kept, answer)
    return JSON.parse(answer)
  } catch (error) {
    if (fs.existsSync(kept)) return JSON.parse(fs.readFileSync(kept))
    return fail(`the versions of ${title} cannot be listed: ${error.message.split('\n')[0]}`)
  }
}

if (semver.validRange(range) === null) fail(`${where} is "${range}": write a range such as "${semver.major(preferred)}.x"`)
if (semver.satisfies(preferred, range)) {
  console.log(preferred)
} else if (name !== 'node' && semver.valid(range)) {
  console.log(semver.valid(range))
} else {
  const versions = published().filter((version) => semver.valid(version) && semver.major(version) >= MAJOR_MIN)
  const chosen = semver.maxSatisfying(versions, range)
  const newest = new Map(semver.sort(versions).map((version) => [semver.major(version), version]))
  if (chosen === null) fail(`${title} ${range} cannot be had: ${where} may ask for ${[...newest.values()].join(', ')} and others of these lines`)
  console.log(chosen)
}
