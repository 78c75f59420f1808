# An instance with a locked metadata service: IMDSv2 only, hop limit 1, root only, and a role that trusts only EC2. The
# image must have the package ip-lockdown; packaging/packer builds one.
#
# role.tf is the output of `ip-lockdown trust-policy build`; cloud-config.yaml is in packaging/cloud-init. If the image was
# built with `ip-lockdown enable`, remove user_data.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 4.0"
    }
  }
}

variable "ami" {
  description = "An image that has ip-lockdown."
  type        = string
}

variable "instance_type" {
  type    = string
  default = "t3.micro"
}

variable "subnet_id" {
  type = string
}

resource "aws_instance" "locked" {
  ami                  = var.ami
  instance_type        = var.instance_type
  subnet_id            = var.subnet_id
  iam_instance_profile = aws_iam_instance_profile.locked.name
  user_data            = file("${path.module}/../cloud-init/cloud-config.yaml")

  metadata_options {
    http_endpoint = "enabled"
    # Tokens stop simple SSRF. The hop limit stops bridged containers even with `--forwarded allow`.
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  # User-data runs at the first boot only: changed user-data requires a new instance.
  user_data_replace_on_change = true
}
