# A small web app that answers with its name.

require "socket"

SECONDS_MAX = 10

def answer(client)
  deadline = Time.now + SECONDS_MAX
  while (line = client.gets("\n", 8192)) && line.strip != ""
    break if Time.now > deadline
  end
  body = "ruby-socket example, powered by #{ENV.fetch("POWERED_BY", "Deis Workflow")} on Ruby #{RUBY_VERSION}\n"
  client.write "HTTP/1.1 200 OK\r\nContent-Length: #{body.bytesize}\r\nConnection: close\r\n\r\n#{body}"
rescue SystemCallError, IOError
  # The client has gone.
ensure
  client.close
end

server = TCPServer.new("0.0.0.0", ENV.fetch("PORT", "5000").to_i)
stopping = false
Signal.trap("TERM") do
  stopping = true
  server.close
end

requests = []
begin
  loop do
    client = server.accept
    requests = requests.select(&:alive?) << Thread.new { answer(client) }
  end
rescue IOError
  raise unless stopping
end
# Finishes the requests under way.
requests.each { |request| request.join(SECONDS_MAX) }
