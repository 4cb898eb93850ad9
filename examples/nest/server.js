import 'reflect-metadata'
import { readFileSync } from 'node:fs'
import { Controller, Get, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { createFarm } from 'handfast'

// Decorators as functions, so that no compiler is needed here.
class HelloController {
  hello() {
    return 'hello\n'
  }
}
Controller()(HelloController)
const method = Object.getOwnPropertyDescriptor(HelloController.prototype, 'hello')
if (method !== undefined) Get()(HelloController.prototype, 'hello', method)

class AppModule {}
Module({ controllers: [HelloController] })(AppModule)

const key = readFileSync('certs/localhost.key')
const cert = readFileSync('certs/localhost.crt')
const app = await NestFactory.create(AppModule, { httpsOptions: { key, cert } })
const farm = await createFarm()
farm.attach(app.getHttpServer())
await app.listen(8443)

process.once('SIGTERM', async () => {
  await app.close()
  await farm.close()
})
