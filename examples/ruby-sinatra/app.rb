# A small web app that answers with its name.
require "sinatra/base"

class App < Sinatra::Base
  # The router decides which hosts reach the app.
  set :host_authorization, permitted_hosts: []

  get "/" do
    content_type "text/plain"
    "ruby-sinatra example on Ruby #{RUBY_VERSION}, #{ENV.fetch("POWERED_BY", "Deis Workflow")}\n"
  end
end
