import { createFarm } from '/work/wt/rr/dist/lib/index.js'
import https from 'node:https'
import tls from 'node:tls'
import { readFileSync } from 'node:fs'
const selfsigned = (await import('selfsigned')).default
const pem = await selfsigned.generate([{name:'commonName',value:'localhost'}],{keyType:'ec',curve:'P-256'})
const farm = process.argv[2]==='plain' ? undefined : await createFarm({})
const server = https.createServer({ key: pem.private, cert: pem.cert }, (q,r)=>{ const s=q.socket; console.log('at request: tls', %HasFastProperties(s), 'raw', %HasFastProperties(s._parent??s), 'handle', %HasFastProperties(s._handle)); r.end('x') })
farm?.attach(server, process.argv[2]==='stateful'?{resumption:'stateful'}:{})
server.listen(0, async ()=>{
  for (let i=0;i<3;i++) await new Promise(res=>{ const c=tls.connect({port:server.address().port,rejectUnauthorized:false},()=>{c.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')}); c.on('data',()=>{}); c.on('close',res)})
  server.close(); await farm?.close()
})
