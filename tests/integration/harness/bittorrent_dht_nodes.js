// Many bittorrent-dht nodes (npm) in one process: takes lines of JSON, each answered with one, as
// libtorrent_nodes.py does. `node bittorrent_dht_nodes.js FOLDER`: FOLDER has the package in it.

'use strict'

const path = require('path')
const readline = require('readline')
const { Client } = require(path.join(process.argv[2], 'bittorrent-dht'))

const nodes = new Map()
const announces = new Map() // host -> set of infohashes announced to it

const commands = {
  // Nodes that listen and know nobody; where.
  async open ({ hosts }) {
    const places = []
    for (const host of hosts) {
      // It names its whole table in each answer. With its own k of 20 that is more, in a network of sixty,
      // than the 1,500 bytes which libtorrent reads of a datagram; libtorrent then waits 15 s for it.
      const dht = new Client({ bootstrap: false, host, k: 8 })
      dht.on('warning', () => {})
      await new Promise((resolve, reject) => {
        dht.once('error', reject)
        dht.listen(0, host, resolve)
      })
      nodes.set(host, dht)
      announces.set(host, new Set())
      dht.on('announce', (peer, infoHash) => announces.get(host).add(infoHash.toString('hex')))
      places.push([host, dht.address().port])
    }
    return places
  },

  // Name nodes to it, which it pings.
  add ({ host, nodes: known }) {
    for (const [place, port] of known) nodes.get(host).addNode({ host: place, port })
    return null
  },

  // The same, and then it looks for its own id.
  join ({ host, nodes: known }) {
    commands.add({ host, nodes: known })
    const dht = nodes.get(host)
    setTimeout(() => dht.lookup(dht.nodeId, () => {}), 300)
    return null
  },

  // It answers nobody any more; its port stays taken.
  quiet ({ host }) {
    nodes.get(host)._rpc.socket.socket.removeAllListeners('message')
    return null
  },

  sizes () {
    return Object.fromEntries([...nodes].map(([host, dht]) => [host, dht.nodes.count()]))
  },

  announces ({ infohash }) {
    return [...announces.values()].filter(seen => seen.has(infohash)).length
  },

  // The peers that a lookup finds.
  lookup ({ host, infohash }) {
    const dht = nodes.get(host)
    const found = new Set()
    const hears = (peer, infoHash) => {
      if (infoHash.toString('hex') === infohash) found.add(`${peer.host}:${peer.port}`)
    }
    dht.on('peer', hears)
    return new Promise(resolve => dht.lookup(infohash, (error, replies) => {
      dht.removeListener('peer', hears)
      resolve({ error: error ? String(error) : null, replies, peers: [...found] })
    }))
  },

  // Say that a peer is at the node's address and `port`; how many took it.
  announce ({ host, infohash, port }) {
    return new Promise(resolve => nodes.get(host).announce(infohash, port, (error, count) => {
      resolve({ error: error ? String(error) : null, count: count || 0 })
    }))
  }
}

async function answer (line) {
  const asked = JSON.parse(line)
  try {
    console.log(JSON.stringify({ is: await commands[asked.do](asked) }))
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }))
  }
}

let last = Promise.resolve()
readline.createInterface({ input: process.stdin })
  .on('line', line => { last = last.then(() => answer(line)) })
  .on('close', () => process.exit())
