console.log(`built by ${BUILT_BY}`)
