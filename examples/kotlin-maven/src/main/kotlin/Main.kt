/** A small web app that answers with its name. */

import com.sun.net.httpserver.HttpServer
import java.net.InetSocketAddress
import java.util.concurrent.Executors

const val STOP_SECONDS_MAX = 20

fun main() {
    val poweredBy = setting("POWERED_BY", "Deis Workflow")
    val body = "kotlin-maven example, powered by $poweredBy on Kotlin ${KotlinVersion.CURRENT}, Java ${Runtime.version().feature()}\n"
        .toByteArray()
    val server = HttpServer.create(InetSocketAddress(setting("PORT", "5000").toInt()), 0)
    server.executor = Executors.newVirtualThreadPerTaskExecutor()
    server.createContext("/") { exchange ->
        exchange.use {
            it.sendResponseHeaders(200, body.size.toLong())
            it.responseBody.write(body)
        }
    }
    // Finishes the requests under way.
    Runtime.getRuntime().addShutdownHook(Thread { server.stop(STOP_SECONDS_MAX) })
    server.start()
}

fun setting(name: String, fallback: String): String = System.getenv(name)?.ifEmpty { null } ?: fallback
